/**
 * The end of a switch that no other one follows. The flows that it carries can't go on without it: they get some time to
 * end by themselves, and what is left then is reset at both ends.
 */
import type { DataPlane, FlowSnapshot } from '../dataplane/port.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/log.js';

const DRAIN_CHECK_MS = 100;

export interface DrainParts {
  readonly plane: DataPlane;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long it waits, ms. */
  readonly drainLimit: number;
}

/** The signal ends the wait, and not what comes after it. */
export async function drain(
  { plane, clock, log, drainLimit }: DrainParts,
  signal?: AbortSignal,
): Promise<void> {
  const end = clock.monotonic() + drainLimit;
  let carried = await carriedBy(plane);
  while (carried.length > 0 && clock.monotonic() < end && !signal?.aborted) {
    await clock.sleep(DRAIN_CHECK_MS, signal).catch(() => {});
    carried = await carriedBy(plane);
  }
  if (carried.length > 0) log.warn({ flows: carried.length }, 'stopping: stitched flows are reset');
  await Promise.allSettled(carried.map(({ id }) => plane.close(id)));
}

/** Flows whose packets would reach nobody without this switch. */
async function carriedBy(plane: DataPlane): Promise<FlowSnapshot[]> {
  const wasCut = ({ state, history }: FlowSnapshot): boolean =>
    state !== 'closed' &&
    state !== 'broken' &&
    history.some((step) => step.state === 'cutting' || step.state === 'stitched');
  return (await plane.list()).filter(wasCut);
}
