/** The only file that touches time. Everything else is given a `Clock`, or times as numbers. */

export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. For people and records. */
  wall(): number;
  /** Milliseconds from an arbitrary start, with fractions; never goes back. For intervals. */
  monotonic(): number;
  /**
   * Calls `run` after `ms`, however many these are, unless what it gives back is called before. For limits that are hardly
   * ever reached: to wait by `sleep` and abort that costs several times as much.
   */
  after(ms: number, run: () => void): () => void;
  /** Resolves after `ms`, however many these are, or rejects when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface SystemClock extends Clock {
  /** Milliseconds of the kernel's own monotonic clock (CLOCK_MONOTONIC), with fractions. */
  kernel(): number;
}

/** What a timer can hold (a signed 32-bit number); of more it makes one millisecond. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: SystemClock = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  kernel: () => Number(process.hrtime.bigint()) / 1e6,
  after: (ms, run) => {
    const wait = (left: number): NodeJS.Timeout => {
      const onTime = (): void => {
        if (left > LONGEST_TIMER_MS) timer = wait(left - LONGEST_TIMER_MS);
        else run();
      };
      return setTimeout(onTime, Math.min(left, LONGEST_TIMER_MS));
    };
    let timer = wait(ms);
    return () => clearTimeout(timer);
  },
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        cancel();
        reject(signal?.reason);
      };
      const cancel = systemClock.after(ms, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
};
