import t from 'tap';
import type { StitchPolicy } from '../../src/platform/config/index.js';
import { decide, needsPackets, type StitchFacts } from '../../src/shell/policy.js';

const FACTS: StitchFacts = { bytes: 1000, age: 500, packets: 20, shellLoad: 0.5 };

const TABLE: readonly [StitchPolicy, string][] = [
  ['now', 'stitch'],
  ['never', 'never'],
  [{ after: { bytes: 1000 } }, 'stitch'],
  [{ after: { bytes: 1001 } }, 'wait'],
  [{ after: { age: 500 } }, 'stitch'],
  [{ after: { age: 501 } }, 'wait'],
  [{ after: { packets: 20 } }, 'stitch'],
  [{ after: { packets: 21 } }, 'wait'],
  [{ after: { shellLoad: 0.5 } }, 'stitch'],
  [{ after: { shellLoad: 0.51 } }, 'wait'],
  [{ after: { shellLoad: 0 } }, 'stitch'],
  [{ after: { bytes: 1000, age: 500, packets: 20, shellLoad: 0.5 } }, 'stitch'],
  [{ after: { bytes: 1001, age: 500, packets: 20, shellLoad: 0.5 } }, 'wait'],
  [{ after: { bytes: 1000, age: 501, packets: 20, shellLoad: 0.5 } }, 'wait'],
  [{ after: { bytes: 1000, age: 500, packets: 21, shellLoad: 0.5 } }, 'wait'],
  [{ after: { bytes: 1000, age: 500, packets: 20, shellLoad: 0.6 } }, 'wait'],
];

t.test('every policy by its conditions', async (t) => {
  for (const [policy, expected] of TABLE) {
    t.equal(decide(policy, FACTS), expected, JSON.stringify(policy));
  }
});

t.test('packet counters are only asked for when a policy names them', async (t) => {
  t.equal(needsPackets('now'), false);
  t.equal(needsPackets('never'), false);
  t.equal(needsPackets({ after: { bytes: 1 } }), false);
  t.equal(needsPackets({ after: { packets: 1 } }), true);
});
