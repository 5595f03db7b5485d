/**
 * The flow engine between two simulated TCP ends and a simulated shell, one random world for each seed:
 * loss, reordering and duplication on every leg, and a cut at a random moment. What must always hold is in
 * `support/sim/invariants.ts` and at the end of `support/sim/simulation.ts`.
 *
 * `SUTURE_SIM_SEEDS=n` runs the seeds 1 … n; `SUTURE_SIM_SEED=n` runs that one and prints its trace.
 */
import t from 'tap';
import { FlowEngine } from '../../src/flow/engine.js';
import { scenarioOf } from '../support/sim/scenario.js';
import { type Outcome, Simulation } from '../support/sim/simulation.js';

const SEEDS = Number(process.env.SUTURE_SIM_SEEDS ?? 10_000);
const ONE_SEED = process.env.SUTURE_SIM_SEED;
const TRACE_TAIL = 60;
const MOST_REPORTS = 5;

type Reporter = Pick<typeof t, 'comment' | 'fail'>;

/** Seeds that failed once, by what was wrong then. All lie above the range that is always run. */
const FORMERLY_FAILED: readonly number[] = [
  // Stream bytes counted against bare acks instead of data: wrong counters, wrong refusals.
  ...[10003, 10130, 10010, 10056],
  // An inner SYN aligned with an outer connection that nobody saw: MSS 0.
  ...[11522, 14240],
  // A last ack or a window update that the shell missed while draining, and its probes swallowed.
  ...[10129, 10348, 10448, 13738, 18121, 39523, 114333, 146344, 84178],
  // A cut behind a FIN that never passed; a reset just before the request.
  ...[10395, 10506, 10674, 248729],
  // A FIN of the shell's counted as sent to an end that never got it: windows ignored for ever.
  ...[44680, 100122],
  // Bare acks to the shell below one that it had before: windows ignored.
  ...[108614],
  // Resets that got lost, and an end that goes on after all was forgotten.
  ...[53553],
  // Bare acks lifted beyond the window of an end that was promised less: both ends deaf.
  ...[312665],
  // Overtaken packets around the end of a drain, and timestamps that fall behind.
  ...[70403, 252149],
];

function run(seed: number, trace = false): Outcome {
  return new Simulation(scenarioOf(seed), new FlowEngine(), { trace }).run();
}

function report(t: Reporter, seed: number): void {
  const { fault, trace } = run(seed, true);
  t.comment(trace.slice(-TRACE_TAIL).join('\n'));
  t.fail(`seed ${seed}: ${fault?.rule}: ${fault?.text} (SUTURE_SIM_SEED=${seed} prints it all)`);
}

/** Runs the seeds; how often each state was reached. */
function runAll(t: Reporter, seeds: Iterable<number>): Map<string, number> {
  const reached = new Map<string, number>();
  let failed = 0;
  for (const seed of seeds) {
    const { fault, states } = run(seed);
    for (const { state } of states) reached.set(state, (reached.get(state) ?? 0) + 1);
    if (fault && ++failed <= MOST_REPORTS) report(t, seed);
  }
  if (failed > MOST_REPORTS) t.fail(`${failed} seeds failed in all`);
  return reached;
}

function* upTo(last: number): Iterable<number> {
  for (let seed = 1; seed <= last; seed++) yield seed;
}

if (ONE_SEED !== undefined) {
  t.test(`seed ${ONE_SEED}`, (t) => {
    const { fault, states, trace } = run(Number(ONE_SEED), true);
    t.comment(JSON.stringify(scenarioOf(Number(ONE_SEED)), undefined, 1));
    t.comment(trace.join('\n'));
    t.equal(fault, undefined, states.map(({ state }) => state).join(' → '));
    t.end();
  });
} else {
  t.test('seeds that failed once', (t) => {
    runAll(t, FORMERLY_FAILED);
    t.end();
  });

  t.test(`${SEEDS} seeds`, (t) => {
    const reached = runAll(t, upTo(SEEDS));
    t.comment(`states reached: ${JSON.stringify(Object.fromEntries(reached))}`);
    // The runs must have met what they are about.
    t.ok((reached.get('stitched') ?? 0) > SEEDS / 4, 'flows were stitched');
    t.ok((reached.get('cutting') ?? 0) > SEEDS / 8, 'flows drained');
    t.ok((reached.get('refused') ?? 0) > SEEDS / 50, 'flows were refused');
    t.end();
  });
}
