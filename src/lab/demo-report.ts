/** What the demo found: one record a connection, its verdict, and the table for people. Pure. */
import type { FlowDetail } from '../switch/admin-protocol.js';
import type { StreamHashes, TaskResult } from './demo-client.js';
import type { WatchedFlow } from './demo-watch.js';
import type { PacketCount } from './shell-counter.js';

interface Directions {
  readonly up?: string;
  readonly down?: string;
}

export interface DemoConnection {
  readonly name: string;
  readonly peer: string;
  readonly flow?: string;
  readonly states: readonly { readonly state: string; readonly at: string }[];
  readonly reason?: string;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** As the senders and as the receivers made them. */
  readonly hashes: { readonly sent: Directions; readonly received: Directions; readonly equal: boolean };
  /** Packets of the flow that reached A once it was stitched, counted in A. */
  readonly toShellOnceStitched: PacketCount | null;
  /** The same as the switch counts it. */
  readonly toShellBySwitch: PacketCount | null;
  /** What is not as it should be; empty when all is well. */
  readonly problems: readonly string[];
}

export interface DemoDocument {
  readonly ok: boolean;
  readonly dataplane: string;
  readonly startedAt: string;
  readonly tookMs: number;
  readonly connections: readonly DemoConnection[];
}

function directions(result: TaskResult, pick: (hashes: StreamHashes) => string): Directions {
  return {
    ...(result.up && { up: pick(result.up) }),
    ...(result.down && { down: pick(result.down) }),
  };
}

export function connectionReport(result: TaskResult, watched: WatchedFlow | undefined): DemoConnection {
  const flow = watched?.flow;
  const sent = directions(result, (hashes) => hashes.sent);
  const received = directions(result, (hashes) => hashes.received);
  const equal =
    (sent.up ?? sent.down) !== undefined && sent.up === received.up && sent.down === received.down;
  const partial = {
    name: result.name,
    peer: result.peer,
    ...(flow && { flow: flow.id }),
    states: flow?.history ?? [],
    ...(flow?.reason !== undefined && { reason: flow.reason }),
    bytesUp: flow?.up.bytes ?? 0,
    bytesDown: flow?.down.bytes ?? 0,
    hashes: { sent, received, equal },
    toShellOnceStitched: watched?.arrivedOnceStitched ?? null,
    toShellBySwitch: flow?.toShellStitched ?? null,
  };
  return { ...partial, problems: [...problems(result, partial, flow)] };
}

function* problems(
  result: TaskResult,
  report: Omit<DemoConnection, 'problems'>,
  flow: FlowDetail | undefined,
): Generator<string> {
  if (result.error !== undefined) yield `the client failed: ${result.error}`;
  if (!report.hashes.equal) yield 'the hashes differ';
  if (!flow) return yield 'the switch knows no flow of it';
  if (flow.stitchedAt === undefined) yield `it was never stitched (${flow.reason ?? flow.state})`;
  if (flow.state !== 'closed') yield `it is ${flow.state}, not closed`;
  if (flow.up.bytes !== result.written || flow.down.bytes !== result.read) {
    yield `the client counts ${result.written} bytes up and ${result.read} down`;
  }
  for (const [counter, count] of [
    ['its host', report.toShellOnceStitched],
    ['the switch', report.toShellBySwitch],
  ] as const) {
    if (count && count.packets > 0) yield `${count.packets} packets reached the shell, counted by ${counter}`;
  }
}

const SIZES = ['B', 'kB', 'MB', 'GB'] as const;

export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < SIZES.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? value : value.toFixed(1)} ${SIZES[unit]}`;
}

/** Milliseconds from one state to another; undefined when either was not reached. */
export function between(flow: Pick<FlowDetail, 'history'>, from: string, to: string): number | undefined {
  const at = (state: string): number | undefined => {
    const found = flow.history.find((entry) => entry.state === state);
    return found && Date.parse(found.at);
  };
  const [start, end] = [at(from), at(to)];
  return start === undefined || end === undefined ? undefined : end - start;
}

const HEADINGS = ['CONNECTION', 'UP', 'DOWN', 'RELAYED', 'HANDOVER', 'STITCHED', 'HASHES', 'TO SHELL', 'END'];

export function tableLines(connections: readonly DemoConnection[]): string[] {
  const rows = [HEADINGS, ...connections.map(row)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

function row(one: DemoConnection): string[] {
  const flow = { history: one.states as FlowDetail['history'] };
  const ms = (from: string, to: string): string => {
    const span = between(flow, from, to);
    if (span === undefined) return '-';
    return span < 1000 ? `${span} ms` : `${(span / 1000).toFixed(1)} s`;
  };
  const shell = one.toShellOnceStitched;
  return [
    one.name,
    sizeText(one.bytesUp),
    sizeText(one.bytesDown),
    ms('relayed', 'clamping'),
    ms('clamping', 'stitched'),
    ms('stitched', 'closed'),
    one.hashes.equal ? 'equal' : 'DIFFER',
    shell ? `${shell.packets} packets` : 'unknown',
    one.reason ?? '-',
  ];
}
