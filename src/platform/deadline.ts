/** A promise that may take too long. */
import type { Clock } from './clock.js';

/** What the promise gives, or a rejection with what `late` makes when it gives nothing within `ms`. */
export async function within<T>(
  clock: Clock,
  ms: number,
  promise: Promise<T>,
  late: () => Error,
): Promise<T> {
  const timer = new AbortController();
  const timeout = clock.sleep(ms, timer.signal).then(
    () => Promise.reject(late()),
    // Aborted: the promise was first.
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    timer.abort();
  }
}
