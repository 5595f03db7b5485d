/**
 * Round trips through stitched connections while the switch's process is killed and started again: how many, the
 * longest of them, and the segments that either end's kernel sent again meanwhile, which is what a lost packet causes.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { segmentsSentAgain } from '#suture/lab/sent-again.js';
import { addressOf } from '#suture/lab/stage.js';
import type { EchoResult } from './echo.js';
import type { Lab } from './labs.js';

export const TRAFFIC_PORT = 7002;
const FAR_ENDS = ['e', 'b'] as const;
const CONNECTIONS = 32;
/** Of one connection, before it is the next one's turn. */
const ROUNDS = 20;
const STITCH_MS = 30_000;
const SPARE_MS = 30_000;
/** Before the kill, and after the start. */
const LEAD_MS = 500;
const ANYWHERE = '-1';
/** Both ends never rest; on hosts of their own they would not take the switch's processors. */
export const LAST_IN_LINE = ['nice', '-n', '19'];

export interface Traffic {
  readonly roundTrips: number;
  readonly worstMs: number;
  readonly sentAgain: number;
  /** It went on until after the start. */
  readonly covers: boolean;
}

let turns = 0;

/** `ms`: how long the traffic lasts; long enough for `work`. */
export async function underTraffic<T>(
  lab: Lab,
  client: string,
  ms: number,
  work: () => Promise<T>,
): Promise<{ readonly traffic: Traffic; readonly result: T }> {
  turns += 1;
  // A connection that comes while its shell has no session is relayed for good.
  await Promise.all([lab.stage.agentReady('a1'), lab.stage.agentReady('b1')]);
  const go = join(lab.folder, `traffic-go-${turns}`);
  const target = `stitched=${lab.namespace('e')}@${addressOf('a', 4)}:${TRAFFIC_PORT}`;
  const numbers = [ROUNDS, CONNECTIONS, ms].map(String);
  const lines: string[] = [];
  const program = lab.start(
    'echo-client',
    'e',
    [...LAST_IN_LINE, client, ANYWHERE, ...numbers, go, target],
    (line, stream) => {
      if (stream === 'stdout') lines.push(line);
    },
  );
  await program.line(/^\{"open"/, STITCH_MS);
  const { stage, clock } = lab;
  let stitched = 0;
  await stage.until(
    async () => {
      stitched = (await stage.admin.flows({ agent: 'a1', state: 'stitched' })).length;
      return stitched === CONNECTIONS;
    },
    STITCH_MS,
    () => `${stitched} connections of the traffic's ${CONNECTIONS} are stitched`,
  );
  const before = await segmentsSentAgain(lab.prefix, FAR_ENDS);
  writeFileSync(go, '');
  await clock.sleep(LEAD_MS);
  const result = await work();
  await clock.sleep(LEAD_MS);
  const [after, covers] = [await segmentsSentAgain(lab.prefix, FAR_ENDS), program.running];
  await lab.endedWell(program, ms + SPARE_MS);
  const { rounds, points } = JSON.parse(lines.at(-1) ?? '') as EchoResult;
  const worstMs = (points.at(-1) ?? Number.NaN) / 1e6;
  return { traffic: { roundTrips: rounds, worstMs, sentAgain: after - before, covers }, result };
}
