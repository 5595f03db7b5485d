/** Waits for something, but not for ever. */
import type { Clock } from './clock.js';

/** What the promise gives, or undefined when it has given nothing after `ms`. The promise itself goes on. */
export async function inTime<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T | undefined> {
  const timer = new AbortController();
  const timeout = clock.sleep(ms, timer.signal).then(
    () => undefined,
    () => undefined,
  );
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    timer.abort();
  }
}
