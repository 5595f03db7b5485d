/** Waits for something, but not for ever. */
import type { Clock } from './clock.js';

/** What the promise gives, or undefined when it has given nothing after `ms`. The promise itself goes on. */
export async function inTime<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T | undefined> {
  let cancel = (): void => {};
  const late = new Promise<undefined>((resolve) => {
    cancel = clock.after(ms, () => resolve(undefined));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    cancel();
  }
}
