/**
 * The random worlds of the handover's simulation with teardown mode `control`: each end's FIN and RST is held until an
 * agent answers, which one in five never does. Streams must be complete and flows end as ever, though FINs, the
 * switch's own and its acks are lost like anything else.
 *
 * `SUTURE_SIM_SEEDS=n` runs the seeds 1 … n (1500 by default, some 5 s); `SUTURE_SIM_SEED=n` runs that one and prints its trace.
 */
import t from 'tap';
import { HoldingEngine } from '../support/sim/holding-engine.js';
import { scenarioOf } from '../support/sim/scenario.js';
import { Simulation } from '../support/sim/simulation.js';

const SEEDS = Number(process.env.SUTURE_SIM_SEEDS ?? 1_500);
const ONE_SEED = process.env.SUTURE_SIM_SEED;
const TRACE_TAIL = 80;
const MOST_REPORTS = 3;
/** Seeds that failed once and lie above the range: acks that an end missed and nobody repeated. */
const FORMERLY_FAILED: readonly number[] = [10092, 12379];

function run(seed: number, trace = false) {
  const engine = new HoldingEngine(seed);
  return { ...new Simulation(scenarioOf(seed), engine, { trace, holds: true }).run(), held: engine.held };
}

t.test(`FINs and RSTs held, ${ONE_SEED === undefined ? `${SEEDS} seeds` : `seed ${ONE_SEED}`}`, (t) => {
  const held = { fin: 0, rst: 0 };
  let failed = 0;
  const all = [...FORMERLY_FAILED, ...Array.from({ length: SEEDS }, (_, i) => i + 1)];
  for (const seed of ONE_SEED === undefined ? all : [Number(ONE_SEED)]) {
    const outcome = run(seed);
    held.fin += outcome.held.fin;
    held.rst += outcome.held.rst;
    const { fault } = outcome;
    if (!fault) continue;
    if (++failed > MOST_REPORTS) continue;
    const lines = run(seed, true).trace;
    t.comment(lines.slice(ONE_SEED === undefined ? -TRACE_TAIL : 0).join('\n'));
    t.fail(`seed ${seed}: ${fault.rule}: ${fault.text} (SUTURE_SIM_SEED=${seed} prints it all)`);
  }
  t.comment(`held: ${JSON.stringify(held)}`);
  t.equal(failed, 0, 'no seed failed');
  if (ONE_SEED === undefined) {
    // The runs must have met what they are about.
    t.ok(held.fin > SEEDS / 2, 'FINs were held');
    t.ok(held.rst > SEEDS / 100, 'resets were held');
  }
  t.end();
});
