/**
 * The shell's own load over the last second: the share of one processor that this process used, or the share of
 * the time for which its event loop was busy, whichever is more. The second shows a shell that has to wait for a
 * processor as well.
 */
import type { Clock } from '../platform/clock.js';

const WINDOW_MS = 1000;

export class LoadMeter {
  readonly #clock: Clock;
  readonly #used: () => NodeJS.CpuUsage;
  readonly #busy: () => number;
  #since: number;
  #atStart: NodeJS.CpuUsage;
  #value = 0;

  /** `busy`: the event loop's share since it was last asked. */
  constructor(
    clock: Clock,
    used: () => NodeJS.CpuUsage = () => process.cpuUsage(),
    busy: () => number = () => 0,
  ) {
    this.#clock = clock;
    this.#used = used;
    this.#busy = busy;
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
      this.#value = Math.min(1, Math.max(micros / 1000 / elapsed, this.#busy()));
      this.#since = now;
      this.#atStart = used;
    }
    return this.#value;
  }
}

/** Of this process's event loop; each call begins a new span. */
export function eventLoopBusy(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}
