/** The simulation sees what is wrong: engines with one fault each are found out by the rule meant for it. */
import t from 'tap';
import { FAULTS } from '../support/sim/faults.js';
import { scenarioOf } from '../support/sim/scenario.js';
import { Simulation } from '../support/sim/simulation.js';

/** Some faults need a rare moment: the seeds go on until one of its rules finds it. */
const MOST_SEEDS = 5000;

for (const { name, rules, engine } of FAULTS) {
  t.test(`finds ${name}`, (t) => {
    const found = new Map<string, number>();
    for (let seed = 1; seed <= MOST_SEEDS && !rules.some((rule) => found.has(rule)); seed++) {
      const { fault } = new Simulation(scenarioOf(seed), engine()).run();
      if (fault) found.set(fault.rule, (found.get(fault.rule) ?? 0) + 1);
    }
    const seen = rules.some((rule) => found.has(rule));
    t.ok(seen, `one of ${rules.join(', ')} among ${JSON.stringify(Object.fromEntries(found))}`);
    t.end();
  });
}
