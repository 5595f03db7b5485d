/** The memory of the lab's programs over time, and whether it stays what it is. */
import { readFileSync } from 'node:fs';
import { median } from '../lab/checks.js';
import type { Field } from './field.js';
import type { Part } from './plan.js';

const WATCHED = ['switch', 'shell', 'core'] as const satisfies readonly Part[];
/** A garbage-collected heap breathes. */
const GROWTH = 1.15;
const SLACK_MB = 10;

const HOUR_MS = 3_600_000;

/** MB; `flat`: what it was when it was warm it still is. */
export interface MemoryReport {
  readonly part: Part;
  readonly first: number;
  readonly early: number;
  readonly late: number;
  readonly last: number;
  readonly perHour: number;
  readonly flat: boolean;
}

export class Memory {
  readonly #samples = new Map<Part, number[]>(WATCHED.map((part) => [part, []]));
  /** Of each sample. */
  readonly #hours: number[] = [];

  constructor(private readonly field: Field) {}

  sample(): void {
    this.#hours.push(this.field.clock.monotonic() / HOUR_MS);
    for (const [part, samples] of this.#samples) samples.push(residentMb(this.field.program(part).pid));
  }

  /** The second quarter, when everything is warm, and the last one; the slope is of all from the second on. */
  report(): MemoryReport[] {
    return [...this.#samples].map(([part, samples]) => {
      const quarter = samples.length / 4;
      const early = median(samples.slice(Math.floor(quarter), Math.floor(2 * quarter)));
      const late = median(samples.slice(Math.floor(3 * quarter)));
      return {
        part,
        first: samples[0] ?? Number.NaN,
        early,
        late,
        last: samples.at(-1) ?? Number.NaN,
        perHour: slope(this.#hours.slice(Math.floor(quarter)), samples.slice(Math.floor(quarter))),
        flat: late <= early * GROWTH + SLACK_MB,
      };
    });
  }
}

/** Of the straight line that has the least squares of distances. */
function slope(xs: readonly number[], ys: readonly number[]): number {
  const mean = (all: readonly number[]): number => all.reduce((sum, one) => sum + one, 0) / all.length;
  const [x0, y0] = [mean(xs), mean(ys)];
  const over = mean(xs.map((x, i) => (x - x0) * ((ys[i] ?? y0) - y0)));
  return over / mean(xs.map((x) => (x - x0) ** 2));
}

function residentMb(pid: number | undefined): number {
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) / 1024;
}
