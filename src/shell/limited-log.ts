/** Warnings that one bad moment may cause a thousand times: one line per kind and interval, with a count. */
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/log.js';

const INTERVAL_MS = 5_000;

export class LimitedLog {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #kinds = new Map<string, { last: number; suppressed: number }>();

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** `kind` is one of a few names, never made of input; `suppressed` counts the lines left out before. */
  warn(kind: string, fields: Readonly<Record<string, unknown>>, message: string): void {
    const now = this.#clock.monotonic();
    const known = this.#kinds.get(kind);
    if (known && now - known.last < INTERVAL_MS) {
      known.suppressed += 1;
      return;
    }
    const suppressed = known?.suppressed ?? 0;
    this.#kinds.set(kind, { last: now, suppressed: 0 });
    this.#log.warn(suppressed > 0 ? { ...fields, suppressed } : fields, message);
  }
}
