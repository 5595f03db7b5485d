/** A clock that stands still until a test moves it. */
import type { Clock } from '../../../src/platform/clock.js';

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export class FakeClock implements Clock {
  private now = 1_000_000;
  private sleepers: Sleeper[] = [];
  /** Set by a test: somebody, or NTP, has set the host's clock. */
  wallJump = 0;

  wall(): number {
    return 1_700_000_000_000 + this.now + this.wallJump;
  }

  monotonic(): number {
    return this.now;
  }

  get sleeping(): number {
    return this.sleepers.length;
  }

  /** When the next sleeper wakes, or undefined. */
  get nextAt(): number | undefined {
    return this.sleepers.length === 0 ? undefined : Math.min(...this.sleepers.map(({ at }) => at));
  }

  after(ms: number, wake: () => void): () => void {
    const sleeper = { at: this.now + ms, wake };
    this.sleepers.push(sleeper);
    return () => {
      this.sleepers = this.sleepers.filter((other) => other !== sleeper);
    };
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = (): void => {
        cancel();
        reject(signal?.reason);
      };
      const cancel = this.after(ms, () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      });
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** Wakes who is due on the way, each at its time, and lets them run. */
  async advance(ms: number): Promise<void> {
    const until = this.now + ms;
    for (;;) {
      const due = this.sleepers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.now = Math.max(this.now, due.at);
      this.sleepers = this.sleepers.filter((other) => other !== due);
      due.wake();
      await turn();
    }
    this.now = until;
    await turn();
  }
}

/** Lets promises and streams go on. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
