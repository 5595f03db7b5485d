/** The memory of the lab's programs over time, and whether it stays what it is. */
import { readFileSync } from 'node:fs';
import { median } from '../lab/checks.js';
import type { Field } from './field.js';
import type { Part } from './plan.js';

const WATCHED = ['switch', 'shell', 'core'] as const satisfies readonly Part[];
/** A garbage-collected heap breathes. */
const GROWTH = 1.15;
const SLACK_MB = 10;

export class Memory {
  readonly #samples = new Map<Part, number[]>(WATCHED.map((part) => [part, []]));

  constructor(private readonly field: Field) {}

  sample(): void {
    for (const [part, samples] of this.#samples) samples.push(residentMb(this.field.program(part).pid));
  }

  /** The second quarter, when everything is warm, and the last one. */
  report(): { readonly part: Part; readonly early: number; readonly late: number; readonly flat: boolean }[] {
    return [...this.#samples].map(([part, samples]) => {
      const quarter = samples.length / 4;
      const early = median(samples.slice(Math.floor(quarter), Math.floor(2 * quarter)));
      const late = median(samples.slice(Math.floor(3 * quarter)));
      return { part, early, late, flat: late <= early * GROWTH + SLACK_MB };
    });
  }
}

function residentMb(pid: number | undefined): number {
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) / 1024;
}
