/**
 * The worlds of `handover.test.ts` with two switches that carry packets together, each packet by the one or the other at
 * random: no byte is lost, every flow ends with the right reason, and its bytes are counted right, whoever carried them.
 *
 * `SUTURE_SIM_SEEDS=n` runs the seeds 1 … n; `SUTURE_SIM_SEED=n` runs that one and prints its trace. Some 8 s.
 */
import t from 'tap';
import { scenarioOf } from '../support/sim/scenario.js';
import { Simulation } from '../support/sim/simulation.js';
import { engineMember, SprayingEngine } from '../support/sim/spraying.js';

const ONE_SEED = process.env.SUTURE_SIM_SEED;
const SEEDS = Number(process.env.SUTURE_SIM_SEEDS ?? 1000);
const TRACE_TAIL = 60;
const MOST_REPORTS = 5;
/** The last ack of a flow may pass where the leader does not see it: then its end is a matter of silence. */
const FLUSH_MS = 5_000;

function run(seed: number, deaths: boolean, trace = false) {
  // Some worlds have nearly all of the packets at the one or the other.
  const share = [0.5, 0.1, 0.95][seed % 3] as number;
  const engine = new SprayingEngine(
    seed,
    engineMember(),
    engineMember(),
    share,
    deaths ? () => engineMember() : undefined,
  );
  const outcome = new Simulation(scenarioOf(seed), engine, { trace, flushMs: FLUSH_MS }).run();
  const { carried, steered, takeovers } = engine;
  return { ...outcome, carried, steered, takeovers };
}

for (const deaths of [false, true]) {
  const what = deaths ? 'whose leader dies' : 'that both live';
  t.test(`switches ${what}: ${ONE_SEED === undefined ? `${SEEDS} seeds` : `seed ${ONE_SEED}`}`, (t) => {
    let [carried, steered, takeovers, failed] = [0, 0, 0, 0];
    for (let seed = Number(ONE_SEED ?? 1); seed <= Number(ONE_SEED ?? SEEDS); seed++) {
      const outcome = run(seed, deaths);
      carried += outcome.carried;
      steered += outcome.steered;
      takeovers += outcome.takeovers;
      const { fault } = outcome;
      if (!fault || ++failed > MOST_REPORTS) continue;
      const { trace } = run(seed, deaths, true);
      t.comment(trace.slice(ONE_SEED === undefined ? -TRACE_TAIL : 0).join('\n'));
      t.fail(`seed ${seed}: ${fault.rule}: ${fault.text} (SUTURE_SIM_SEED=${seed} prints it all)`);
    }
    t.equal(failed, 0);
    t.comment(`the follower translated ${carried} packets, and steered ${steered}; ${takeovers} takeovers`);
    if (ONE_SEED === undefined) {
      t.ok(carried > 10 * SEEDS, 'the follower carried');
      if (deaths) t.ok(takeovers > SEEDS / 8, 'and took over');
    }
    t.end();
  });
}
