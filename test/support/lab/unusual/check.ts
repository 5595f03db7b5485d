/** A case, and what each has to show at its end. */
import type { Test } from 'tap';
import type { Family } from '../../../../src/lab/stage.js';
import type { StreamResult } from '../results.js';
import type { Connection, Ground, Step } from './ground.js';

export const BYTES = 300_000;

export type Check = (t: Test, ground: Ground, family: Family) => Promise<void>;

export const echo = (seed: number): Step => ({ do: 'echo', bytes: BYTES, seed });

export function checkBytes(t: Test, result: StreamResult, bytes = BYTES): void {
  t.equal(result.bytes, bytes);
  t.equal(result.received, result.sent, 'SHA-256');
}

/** The connection is over by now, and went as it should; nothing of it came to the shell. */
export async function checkEnd(
  t: Test,
  ground: Ground,
  { ends, flow }: Connection,
  reason = 'fin',
): Promise<void> {
  const end = await ground.rig.flowOf(ends, ({ id, state }) => id === flow.id && state === 'closed');
  t.equal(end.reason, reason);
  t.strictSame(end.toShellStitched, { packets: 0, bytes: 0 }, 'nothing to the shell');
}
