/** The only file that touches time. Everything else is given a `Clock`, or times as numbers. */

export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. For people and records. */
  wall(): number;
  /** Milliseconds from an arbitrary start, with fractions; never goes back. For intervals. */
  monotonic(): number;
  /** Resolves after `ms`, or rejects when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface SystemClock extends Clock {
  /** Milliseconds of the kernel's own monotonic clock (CLOCK_MONOTONIC), with fractions. */
  kernel(): number;
}

export const systemClock: SystemClock = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  kernel: () => Number(process.hrtime.bigint()) / 1e6,
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
};
