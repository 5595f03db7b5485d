/** Does something again and again until it is told to stop. */
import type { Clock } from './clock.js';

/** Calls `work` every `ms` (from one end to the next beginning) until the signal aborts. Never rejects. */
export async function repeat(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
  work: () => void | Promise<void>,
  onError: (error: unknown) => void,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await clock.sleep(ms, signal);
      await work();
    } catch (error) {
      if (!signal.aborted) onError(error);
    }
  }
}
