/**
 * Runs injections one after the other: a load in all phases, a fault at a random moment, its mending, the end of
 * the load, and a look at what is left.
 */
import { Random } from '../sim/random.js';
import { stopShell, untilEmpty } from './after.js';
import { Field } from './field.js';
import { inject } from './inject.js';
import type { Labs } from './labs.js';
import { Load } from './load.js';
import type { Matrix } from './matrix.js';
import { type Injection, sequence } from './plan.js';

/** A fault comes this long after all connections are in their phases, at most; meanwhile and after that others open. */
const MOST_DELAY_MS = 500;
/** For an end that is due; who is not heard of for longer is counted as silent. */
const END_MS = 60_000;

export interface RunOptions {
  /** Where the results go; others may add to it at the same time. */
  readonly matrix: Matrix;
  readonly seed: number;
  /** Injections of each fault. */
  readonly times: number;
  /** Connections in each phase at once. */
  readonly perPhase: number;
  /** How long a part is stopped, cut off or away. */
  readonly pauseMs: number;
  readonly wanted?: (injection: Injection) => boolean;
  readonly say: (line: string) => void;
}

/** Gives what is left over in the end. */
export async function runFaults(labs: Labs, options: RunOptions): Promise<string[]> {
  const { matrix, seed, times, wanted = () => true, say } = options;
  const { path } = matrix;
  const random = new Random(seed);
  const field = await Field.up(labs, { path, drainLimit: '2m' });
  const all = sequence(random, times, wanted);
  for (const [i, injection] of all.entries()) {
    const line = await one(field, injection, random, options);
    say(`${path} ${i + 1}/${all.length} ${injection.part} ${injection.fault}: ${line}`);
  }
  const left = await stopShell(field);
  return left.map((text) => `${path}: ${text}`);
}

async function one(
  field: Field,
  injection: Injection,
  random: Random,
  { matrix, perPhase, pauseMs }: RunOptions,
): Promise<string> {
  await field.ready();
  // A half-closed connection goes on for as long as the fault may take, with a restart in it.
  const seconds = 5 + (injection.fault === 'kill' ? 0 : pauseMs / 1000);
  const load = await Load.start(field, random, {
    perPhase,
    seconds,
    limitMs: END_MS,
    openMs: 2 * MOST_DELAY_MS,
  });
  load.open();
  await field.clock.sleep(random.int(0, MOST_DELAY_MS));
  await inject(field, injection, field.clock, pauseMs);
  await field.ready();
  const results = await load.finish();
  matrix.add(injection, results);
  const { part, fault } = injection;
  const isOrphaning =
    field.path === 'userspace' && part === 'switch' && (fault === 'kill' || fault === 'empty');
  await untilEmpty(field, { orphans: isOrphaning });
  const bad = results.filter(({ outcome }) => outcome !== 'ok');
  const text = bad.map(({ phase, kind, outcome, bytes }) =>
    `${phase} ${kind} ${outcome} ${bytes || ''}`.trim(),
  );
  return bad.length === 0 ? `all ${results.length} kept` : text.join(', ');
}
