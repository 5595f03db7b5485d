import { type Clock, systemClock } from '../../../src/platform/clock.js';

/** A clock on which waits pass at once, all but those of `limits`: time limits, which end what hangs. */
export function quickClock(limits: readonly number[]): Clock {
  let ahead = 0;
  return {
    ...systemClock,
    monotonic: () => systemClock.monotonic() + ahead,
    sleep: (ms, signal) => {
      if (limits.includes(ms)) return systemClock.sleep(ms, signal);
      ahead += ms;
      return systemClock.sleep(1, signal);
    },
  };
}
