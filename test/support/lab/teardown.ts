/** Connections that are stitched and then ended, one route for each teardown mode, and what the agents heard of them. */
import { TEARDOWN_MODES, type TeardownMode } from '../../../src/flow/state.js';
import type { Program } from '../../../src/lab/program.js';
import { addressOf, type Family, RAW_PORT, type RouteConfig, route } from '../../../src/lab/stage.js';
import { type ChartEntry, type ChartPacket, drawChart, readPacket } from './chart.js';
import type { EndingResult } from './results.js';
import type { Rig } from './rig.js';

/** Each ending is one end's FIN or RST, which the other end then answers. */
export const ENDINGS = [
  { ending: 'half-close', kind: 'fin', by: 'peer' },
  { ending: 'server-first', kind: 'fin', by: 'core' },
  { ending: 'client-reset', kind: 'rst', by: 'peer' },
  { ending: 'server-reset', kind: 'rst', by: 'core' },
] as const;
export type Ending = (typeof ENDINGS)[number];

const FIRST_PORT = 8200;

function portOf(mode: TeardownMode): number {
  return FIRST_PORT + TEARDOWN_MODES.indexOf(mode);
}

export function teardownRoutes(families: readonly Family[]): RouteConfig[] {
  return families.flatMap((family) =>
    TEARDOWN_MODES.map((teardown) => ({ ...route(portOf(teardown), RAW_PORT, 'now', family), teardown })),
  );
}

export interface EndOptions {
  readonly family?: Family;
  readonly bytes?: number;
  /** How long the answer to a half-close takes. */
  readonly seconds?: number;
  /** Called between the stitch and the ending. */
  readonly before?: () => void;
}

/** Opens a connection, waits until it is stitched, lets it end; what its client reported last. */
export async function endStitched(
  rig: Rig,
  mode: TeardownMode,
  ending: Ending['ending'] | 'client-first',
  { family = 4, bytes = 100_000, seconds = 1, before }: EndOptions = {},
): Promise<EndingResult> {
  const go = rig.go();
  const host = addressOf('a', family);
  const args = { host, port: portOf(mode), ending, bytes, seconds, go: go.path };
  const client = rig.startClient('ending', args);
  await rig.stitched(await client.report<EndingResult>(0));
  before?.();
  go.say();
  await client.finished();
  return client.report<EndingResult>(1);
}

/** An event as an agent's log has it. */
export interface HeardEvent {
  readonly kind: 'fin' | 'rst' | 'state';
  readonly state: string;
  readonly from?: 'peer' | 'core';
  readonly toldBy?: 'shell' | 'core';
  readonly held?: boolean;
  readonly seq?: number;
  /** Milliseconds since the Unix epoch. */
  readonly time: number;
}

/** What an agent that logs at level debug has heard of a flow, in order. */
export function heardOf(agent: Program, flow: string): HeardEvent[] {
  return logOf(agent, flow).filter((entry) => 'kind' in entry);
}

/** … and what it answered. */
function logOf(agent: Program, flow: string): ChartEntry[] {
  return agent.output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .filter((entry) => entry.flow === flow)
    .flatMap((entry): ChartEntry[] => {
      if (entry.msg === 'flow event') return [heardFrom(entry)];
      return entry.msg === 'letting it go on' ? [{ answers: entry.from, time: Date.parse(entry.time) }] : [];
    });
}

interface LogLine extends Omit<HeardEvent, 'time'> {
  readonly time: string;
}

function heardFrom({ kind, state, from, toldBy, held, seq, time }: LogLine): HeardEvent {
  return {
    ...{ kind, state, time: Date.parse(time) },
    ...(from !== undefined && { from }),
    ...(toldBy !== undefined && { toldBy }),
    ...(held === true && { held }),
    ...(seq !== undefined && { seq }),
  };
}

/** `fin peer held`, `fin peer by core`, `closed`. */
export function heardText({ kind, state, from, toldBy, held }: HeardEvent): string {
  if (kind === 'state') return state;
  return [kind, from, ...(held ? ['held'] : []), ...(toldBy ? [`by ${toldBy}`] : [])].join(' ');
}

/** The chart of one ending, from a capture on all of the switch's interfaces and the agents' logs. */
export async function chartOf(
  rig: Rig,
  agents: { readonly shell: Program; readonly core: Program },
  mode: TeardownMode,
  ending: 'client-first' | 'client-reset',
): Promise<string[]> {
  const packets: ChartPacket[] = [];
  let from = Number.POSITIVE_INFINITY;
  const argv = ['tcpdump', '-i', 'any', '-n', '-S', '-tt', '-l', '--immediate-mode'];
  const filter = `tcp and (port ${portOf(mode)} or portrange 20000-20099)`;
  const capture = rig.stage.start('tcpdump', 's', [...argv, filter], (line) => {
    const packet = readPacket(line);
    // What the shell sends when it destroys its sockets ends at the switch; the time of it is chance.
    const swallowed = packet?.host === 'A' && packet.toSwitch;
    if (packet && packet.time >= from && !swallowed) packets.push(packet);
  });
  await capture.line(/listening on any/, 15_000);
  const before = (): void => {
    from = Date.now() / 1000;
  };
  const end = await endStitched(rig, mode, ending, { bytes: 1000, before });
  const { id } = await rig.closed(end);
  for (const agent of [agents.shell, agents.core]) {
    await agent.line(new RegExp(`"flow":"${id}".*"state":"closed".*flow event`), 15_000);
  }
  await capture.stop();
  return drawChart(packets, { shell: endingOf(agents.shell, id), core: endingOf(agents.core, id) });
}

function endingOf(agent: Program, flow: string): ChartEntry[] {
  const log = logOf(agent, flow);
  return log.slice(log.findIndex((entry) => 'kind' in entry && entry.kind !== 'state'));
}

/** Puts a chart between `<!-- chart NAME -->` and the next `<!-- end -->`. */
export function withChart(page: string, name: string, chart: readonly string[]): string {
  const [start, stop] = [`<!-- chart ${name} -->\n`, '<!-- end -->'];
  const at = page.indexOf(start);
  if (at < 0) throw new Error(`the page has no place for the chart ${name}`);
  const rest = page.slice(page.indexOf(stop, at));
  return `${page.slice(0, at)}${start}\`\`\`mermaid\n${chart.join('\n')}\n\`\`\`\n${rest}`;
}
