/** Connections that are stitched and then ended, one route for each teardown mode, and what the agents heard of them. */
import { TEARDOWN_MODES, type TeardownMode } from '../../../src/flow/state.js';
import type { Program } from '../../../src/lab/program.js';
import { addressOf, type Family, RAW_PORT, type RouteConfig, route } from '../../../src/lab/stage.js';
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

export function portOf(mode: TeardownMode): number {
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
  ending: Ending['ending'],
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
  return agent.output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .filter((entry) => entry.flow === flow && entry.msg === 'flow event')
    .map(({ kind, state, from, toldBy, held, seq, time }) => ({
      ...{ kind, state, time: typeof time === 'number' ? time : Date.parse(time) },
      ...(from && { from }),
      ...(toldBy && { toldBy }),
      ...(held && { held }),
      ...(seq !== undefined && { seq }),
    }));
}

/** `fin peer held`, `fin peer by core`, `closed`. */
export function heardText({ kind, state, from, toldBy, held }: HeardEvent): string {
  if (kind === 'state') return state;
  return [kind, from, ...(held ? ['held'] : []), ...(toldBy ? [`by ${toldBy}`] : [])].join(' ');
}
