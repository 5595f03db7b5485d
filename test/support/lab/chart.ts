/**
 * Sequence charts (Mermaid) of how a stitched connection ended: packets as the switch's interfaces saw them, from
 * tcpdump, and control messages as the agents logged them.
 *
 * A packet's time is exact, a log's is cut to milliseconds. What an agent heard is therefore drawn no earlier than the
 * packet or the answer that it was about.
 */
import type { HeardEvent } from './teardown.js';

/** A packet on one of the switch's interfaces. */
export interface ChartPacket {
  /** Seconds since the Unix epoch. */
  readonly time: number;
  readonly host: 'E' | 'A' | 'B';
  readonly toSwitch: boolean;
  /** As tcpdump writes them: `F.`, `.`, `R`. */
  readonly flags: string;
  readonly seq?: number;
  readonly ack?: number;
  readonly length: number;
}

/** What one agent logged of the flow, in its order. */
export type ChartEntry = HeardEvent | { readonly answers: 'peer' | 'core'; readonly time: number };

export interface ChartLogs {
  readonly shell: readonly ChartEntry[];
  readonly core: readonly ChartEntry[];
}

interface Arrow {
  readonly time: number;
  readonly text: string;
}

const LINE =
  /^(\d+\.\d+) to-([eab]) +(In|Out) +IP6? \S+ > \S+: Flags \[([A-Z.]+)\](?:, cksum [^,]+)?(?:, seq (\d+)(?::\d+)?)?(?:, ack (\d+))?.*length (\d+)/;
/** Between what leads to something and that. */
const STEP = 1e-6;
const FLAGS: Readonly<Record<string, string>> = { F: 'FIN', R: 'RST', P: 'PSH', S: 'SYN', '.': 'ACK' };
const PARTICIPANTS = ['E as peer E', 'S as switch S', 'A as shell A', 'B as core B'];

/** A line of `tcpdump -i any -n -S -tt`; undefined for one that is no TCP packet. */
export function readPacket(line: string): ChartPacket | undefined {
  const [, time, host, way, flags, seq, ack, length] = LINE.exec(line) ?? [];
  if (time === undefined || flags === undefined) return undefined;
  return {
    time: Number(time),
    host: host?.toUpperCase() as ChartPacket['host'],
    toSwitch: way === 'In',
    flags,
    ...(seq !== undefined && { seq: Number(seq) }),
    ...(ack !== undefined && { ack: Number(ack) }),
    length: Number(length),
  };
}

export function drawChart(packets: readonly ChartPacket[], logs: ChartLogs): string[] {
  const arrows: Arrow[] = packets.map((packet) => ({ time: packet.time, text: packetText(packet) }));
  // Whoever is told by the other comes second: its arrows hang on the other's.
  const shellSecond = logs.shell.some((entry) => 'toldBy' in entry);
  const answers = new Map<string, number>();
  for (const name of shellSecond ? (['core', 'shell'] as const) : (['shell', 'core'] as const)) {
    arrows.push(...agentArrows(name, logs[name], packets, answers));
  }
  const sorted = arrows.sort((a, b) => a.time - b.time).map(({ text }) => `  ${text}`);
  return ['sequenceDiagram', ...PARTICIPANTS.map((one) => `  participant ${one}`), ...sorted];
}

function agentArrows(
  name: 'shell' | 'core',
  entries: readonly ChartEntry[],
  packets: readonly ChartPacket[],
  answers: Map<string, number>,
): Arrow[] {
  const letter = name === 'shell' ? 'A' : 'B';
  const lastPacket = packets.at(-1)?.time ?? 0;
  const arrows: Arrow[] = [];
  let before = 0;
  for (const entry of entries) {
    let cause = before;
    if ('answers' in entry) {
      const time = Math.max(entry.time / 1000, before + STEP);
      answers.set(`${name} ${entry.answers}`, time);
      arrows.push({ time, text: `${letter}-->>S: Proceed (${entry.answers})` });
      before = time;
      continue;
    }
    if (entry.kind === 'state') {
      if (entry.state !== 'closed') continue;
      cause = Math.max(cause, lastPacket);
    } else {
      const flag = entry.kind === 'fin' ? 'F' : 'R';
      const first = packets.find(
        ({ toSwitch, flags, seq }) => toSwitch && flags.includes(flag) && seq === entry.seq,
      );
      cause = Math.max(cause, first?.time ?? 0, answers.get(`${entry.toldBy} ${entry.from}`) ?? 0);
    }
    const time = Math.max(entry.time / 1000, cause + STEP);
    arrows.push({ time, text: `S-->>${letter}: ${eventText(entry)}` });
    before = time;
  }
  return arrows;
}

function packetText({ host, toSwitch, flags, seq, ack, length }: ChartPacket): string {
  const names = [...flags].map((flag) => FLAGS[flag] ?? flag).join(' ');
  const numbers = [
    ...(seq !== undefined ? [`seq ${seq}`] : []),
    ...(ack !== undefined ? [`ack ${ack}`] : []),
    ...(length > 0 ? [`${length} bytes`] : []),
  ];
  return `${toSwitch ? `${host}->>S` : `S->>${host}`}: ${[names, ...numbers].join(', ')}`;
}

function eventText({ kind, state, from, held, toldBy, seq }: HeardEvent): string {
  if (kind === 'state') return `Event ${state}`;
  const more = [`seq ${seq}`, ...(held ? ['held'] : []), ...(toldBy ? [`told by the ${toldBy}`] : [])];
  return `Event ${kind.toUpperCase()} of the ${from} (${more.join(', ')})`;
}
