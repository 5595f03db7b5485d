/** The simulated TCP ends by themselves: what they send each other arrives, whatever the network does. */
import t from 'tap';
import { scenarioOf } from '../support/sim/scenario.js';
import { Simulation } from '../support/sim/simulation.js';
import { NO_ENGINE } from '../support/sim/switch-node.js';

const SEEDS = 500;

for (const plain of [true, false]) {
  const name = plain ? 'two ends' : 'two ends and a relay';
  t.test(`${name}, no switch: every run ends complete`, (t) => {
    let retransmitted = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const outcome = new Simulation(scenarioOf(seed), NO_ENGINE, { plain }).run();
      retransmitted += outcome.retransmitted;
      if (outcome.fault) t.fail(`seed ${seed}: ${outcome.fault.rule}: ${outcome.fault.text}`);
    }
    t.ok(retransmitted > SEEDS / 4, `loss was met: ${retransmitted} retransmissions`);
    t.end();
  });
}

t.test('a run depends on nothing but its seed', (t) => {
  const run = (): readonly string[] => {
    const simulation = new Simulation(scenarioOf(7), NO_ENGINE, { trace: true });
    return simulation.run().trace;
  };
  const first = run();
  t.ok(first.length > 10);
  t.same(run(), first);
  t.end();
});
