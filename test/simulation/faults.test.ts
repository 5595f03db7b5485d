/** The simulation sees what is wrong: engines with one fault each are found out within a few hundred seeds. */
import t from 'tap';
import { FAULTS } from '../support/sim/faults.js';
import { scenarioOf } from '../support/sim/scenario.js';
import { Simulation } from '../support/sim/simulation.js';

const SEEDS = 600;

for (const [name, engine] of Object.entries(FAULTS)) {
  t.test(`finds ${name}`, (t) => {
    const rules = new Map<string, number>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { fault } = new Simulation(scenarioOf(seed), engine()).run();
      if (fault) rules.set(fault.rule, (rules.get(fault.rule) ?? 0) + 1);
    }
    t.ok(rules.size > 0, JSON.stringify(Object.fromEntries(rules)));
    t.end();
  });
}
