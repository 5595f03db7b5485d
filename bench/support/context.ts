/** What a benchmark is given, and what it tells of itself. */
import type { Clock } from '#suture/platform/clock.js';
import type { BenchResult } from './document.js';
import type { Tool } from './tools.js';

export type DataplaneChoice = 'auto' | 'kernel' | 'userspace';

export interface BenchContext {
  readonly clock: Clock;
  /** Aborts when the benchmark is to end and to take everything down. */
  readonly signal: AbortSignal;
  /** One line of progress, for people. */
  readonly progress: (line: string) => void;
  /** Something that a reader of the result has to know. */
  readonly note: (text: string) => void;
  readonly runs: number;
  /** Of one measurement; what exactly is measured for so long is the benchmark's to say. */
  readonly seconds: number;
  readonly dataplane: DataplaneChoice;
}

export interface Benchmark {
  readonly name: string;
  readonly title: string;
  readonly runs: number;
  readonly seconds: number;
  readonly tools: readonly Tool[];
  /** Set where only one makes sense. */
  readonly dataplane?: DataplaneChoice;
  run(context: BenchContext): Promise<BenchResult>;
}
