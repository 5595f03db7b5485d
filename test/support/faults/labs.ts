/**
 * What a program of the harness does in labs of its own, and the way out. However the work ends, by itself, with an error
 * or because a signal aborted it, its labs are taken down before the program ends.
 */
import { interruptible } from '../../../src/cli/interruptible.js';
import { type Clock, systemClock } from '../../../src/platform/clock.js';
import { firstAbort } from '../../../src/platform/first-abort.js';
import { inTime } from '../../../src/platform/in-time.js';
import type { Teardowns } from '../lab/rig.js';

/** For a step of the work that can't be aborted, as the making of a lab. */
const SETTLE_MS = 15_000;

export interface Labs extends Teardowns {
  /** Aborts what is under way. */
  readonly signal?: AbortSignal;
}

/** Gives what the work gives, or undefined after a signal; rejects as the work does. */
export function inLabs<T>(work: (labs: Labs) => Promise<T>): Promise<T | undefined> {
  return interruptible(process, async (signal) => {
    const teardowns: (() => Promise<void>)[] = [];
    const working = work({ signal, teardown: (down) => void teardowns.push(down) });
    try {
      return await Promise.race([working, aborted(signal)]);
    } finally {
      // What is made after its lab was taken down would stay.
      await inTime(systemClock, SETTLE_MS, Promise.allSettled([working]));
      const downs = await Promise.allSettled(teardowns.map((down) => down()));
      for (const down of downs) if (down.status === 'rejected') process.stderr.write(`${down.reason}\n`);
    }
  });
}

/** The system's clock, whose waits end with the signal. */
export function clockUntil(signal: AbortSignal | undefined): Clock {
  if (!signal) return systemClock;
  return {
    ...systemClock,
    sleep: async (ms, other) => {
      const either = firstAbort(signal, ...(other ? [other] : []));
      await systemClock.sleep(ms, either.signal).finally(either.done);
    },
  };
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}
