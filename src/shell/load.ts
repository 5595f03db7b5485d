/** The shell's own load: the share of one processor that this process used over the last second. */
import type { Clock } from '../platform/clock.js';

const WINDOW_MS = 1000;

export class LoadMeter {
  readonly #clock: Clock;
  readonly #used: () => NodeJS.CpuUsage;
  #since: number;
  #atStart: NodeJS.CpuUsage;
  #value = 0;

  constructor(clock: Clock, used: () => NodeJS.CpuUsage = () => process.cpuUsage()) {
    this.#clock = clock;
    this.#used = used;
    this.#since = clock.monotonic();
    this.#atStart = used();
  }

  /** 0 … 1, and 0 until the first second is over. Threads of the runtime may push it to its cap of 1. */
  get value(): number {
    return this.#value;
  }

  /** Closes the window when it is a second old; call it every now and then. */
  sample(): number {
    const now = this.#clock.monotonic();
    const elapsed = now - this.#since;
    if (elapsed >= WINDOW_MS) {
      const used = this.#used();
      const micros = used.user - this.#atStart.user + used.system - this.#atStart.system;
      this.#value = Math.min(1, micros / 1000 / elapsed);
      this.#since = now;
      this.#atStart = used;
    }
    return this.#value;
  }
}
