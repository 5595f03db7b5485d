/**
 * The worlds of `handover.test.ts`, with a switch that dies and is restored while the flow is stitched: nothing that
 * TCP would have kept may be lost.
 *
 * `SUTURE_SIM_SEEDS=n` runs the seeds 1 … n; `SUTURE_SIM_SEED=n` runs that one and prints its trace.
 */
import t from 'tap';
import { RestartingEngine } from '../support/sim/restarting.js';
import { scenarioOf } from '../support/sim/scenario.js';
import { Simulation } from '../support/sim/simulation.js';

const ONE_SEED = process.env.SUTURE_SIM_SEED;
const SEEDS = Number(process.env.SUTURE_SIM_SEEDS ?? 1500);
const TRACE_TAIL = 60;
const MOST_REPORTS = 5;

function run(seed: number, trace = false) {
  const engine = new RestartingEngine(seed);
  const outcome = new Simulation(scenarioOf(seed), engine, { trace }).run();
  return { ...outcome, restarts: engine.restarts };
}

t.test(ONE_SEED === undefined ? `${SEEDS} seeds` : `seed ${ONE_SEED}`, (t) => {
  let [restarts, failed, ended] = [0, 0, 0];
  for (let seed = Number(ONE_SEED ?? 1); seed <= Number(ONE_SEED ?? SEEDS); seed++) {
    const { fault, states, restarts: more } = run(seed);
    restarts += more;
    if (more > 0 && states.some(({ state }) => state === 'closed')) ended += 1;
    if (!fault || ++failed > MOST_REPORTS) continue;
    const { trace } = run(seed, true);
    t.comment(trace.slice(ONE_SEED === undefined ? -TRACE_TAIL : 0).join('\n'));
    t.fail(`seed ${seed}: ${fault.rule}: ${fault.text} (SUTURE_SIM_SEED=${seed} prints it all)`);
  }
  t.equal(failed, 0);
  t.comment(`${restarts} restarts; ${ended} flows that met one have ended`);
  if (ONE_SEED === undefined) {
    t.ok(restarts > SEEDS / 2, 'the switch died');
    t.ok(ended > SEEDS / 8, 'and flows went on to their end');
  }
  t.end();
});
