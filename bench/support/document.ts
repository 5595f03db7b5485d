/**
 * What a benchmark gives back, and the JSON document that is made of it.
 *
 * A figure is one of the numbers to reach: a median with its spread, beside its target. Tables are for people,
 * panels for the plot, samples are everything that was measured, run by run.
 */
import type { MachineFacts } from './machine.js';
import type { Panel } from './plot/panel.js';
import { type Spread, spreadOf } from './stats.js';

export const DOCUMENT_FORMAT = 1;

export interface Target {
  readonly bound: 'at least' | 'at most';
  readonly value: number;
}

export interface Figure {
  /** Unique among all benchmarks. */
  readonly id: string;
  readonly what: string;
  /** Empty for a ratio. */
  readonly unit: string;
  readonly value: Spread;
  readonly target?: Target;
  /** Only with a target. */
  readonly met?: boolean;
}

export interface Table {
  readonly title: string;
  /** One that starts with `>` has its column right-aligned. */
  readonly headings: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface BenchResult {
  /** The data path that the switch took. */
  readonly dataplane: string;
  readonly figures: readonly Figure[];
  readonly tables: readonly Table[];
  readonly panels: readonly Panel[];
  /** What a reader has to know: samples left out, something that could not be measured. */
  readonly notes: readonly string[];
  readonly samples: unknown;
}

export interface BenchDocument {
  readonly bench: string;
  readonly format: typeof DOCUMENT_FORMAT;
  readonly version: string;
  readonly startedAt: string;
  readonly tookMs: number;
  /** `dataplane`: as it was asked for. */
  readonly options: { readonly runs: number; readonly seconds: number; readonly dataplane: string };
  readonly dataplane: string;
  readonly machine: MachineFacts;
  readonly figures: readonly Figure[];
  readonly notes: readonly string[];
  readonly samples: unknown;
}

export const atLeast = (value: number): Target => ({ bound: 'at least', value });
export const atMost = (value: number): Target => ({ bound: 'at most', value });

export function reaches(value: number, target: Target): boolean {
  return target.bound === 'at least' ? value >= target.value : value <= target.value;
}

export function figure(
  id: string,
  what: string,
  unit: string,
  values: readonly number[],
  target?: Target,
): Figure {
  const value = spreadOf(values);
  return {
    id,
    what,
    unit,
    value,
    ...(target && { target, met: reaches(value.median, target) }),
  };
}
