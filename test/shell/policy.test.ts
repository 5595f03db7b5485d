import t from 'tap';
import type { StitchPolicy } from '../../src/platform/config/index.js';
import { Judge, minuteOfDay, needsPackets, needsType, type StitchFacts } from '../../src/shell/policy.js';

const decide = (policy: StitchPolicy, facts: StitchFacts) => new Judge(policy).decide(facts);

const FACTS: StitchFacts = {
  bytes: 1000,
  age: 500,
  packets: 20,
  shellLoad: 0.5,
  timeOfDay: 12 * 60,
  type: 'tls',
  name: 'api.example.org',
};
const hours = (from: number, to: number) => ({ timeOfDay: { from: from * 60, to: to * 60 } });

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
  [{ after: hours(12, 13) }, 'stitch'],
  [{ after: hours(11, 12) }, 'wait'],
  [{ after: hours(13, 12) }, 'wait'],
  [{ after: hours(22, 13) }, 'stitch'],
  [{ after: hours(12, 6) }, 'stitch'],
  [{ after: hours(0, 24) }, 'stitch'],
  [{ after: { type: ['tls'] } }, 'stitch'],
  [{ after: { type: ['http', 'plain'] } }, 'never'],
  [{ after: { type: ['http', 'api.example.org'] } }, 'stitch'],
  [{ after: { type: ['*.example.org'] } }, 'stitch'],
  [{ after: { type: ['example.org', '*.other.org'] } }, 'never'],
  [{ after: { type: ['tls'], bytes: 1001 } }, 'wait'],
  [{ after: { type: ['http'], bytes: 1001 } }, 'never'],
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

t.test('types are only looked for when a policy names them', async (t) => {
  t.equal(needsType('now'), false);
  t.equal(needsType({ after: { bytes: 1 } }), false);
  t.equal(needsType({ after: { type: ['tls'] } }), true);
});

t.test('a connection without a name has the type only', async (t) => {
  const nameless = { ...FACTS, name: undefined };
  t.equal(decide({ after: { type: ['*.example.org'] } }, nameless), 'never');
  t.equal(decide({ after: { type: ['tls'] } }, nameless), 'stitch');
});

t.test('the condition that came true last is told first', async (t) => {
  const policy: StitchPolicy = {
    after: { bytes: 1 << 20, age: 5000, shellLoad: 0.5, type: ['*.example.org'], ...hours(8, 18) },
  };
  const judge = new Judge(policy);
  const early = { ...FACTS, shellLoad: 0.1 };
  t.equal(judge.decide(early), 'wait');
  t.equal(judge.decide({ ...early, bytes: 1 << 20 }), 'wait');
  t.equal(judge.decide({ ...early, bytes: 1 << 20, age: 5000 }), 'wait');
  // Load comes and goes; what counts is the moment at which all hold.
  t.equal(judge.decide({ ...FACTS, bytes: 1 << 20, age: 5000, timeOfDay: 20 * 60 }), 'wait');
  t.equal(judge.decide({ ...early, bytes: 1 << 20, age: 5001 }), 'wait');
  t.same(judge.cause, []);
  t.equal(judge.decide({ ...FACTS, bytes: 1 << 20, age: 5001 }), 'stitch');
  t.same(judge.cause, [
    'shellLoad>=0.5',
    'bytes>=1M',
    'age>=5s',
    'timeOfDay=08:00-18:00',
    'type=*.example.org',
  ]);
  const now = new Judge('now');
  t.equal(now.decide(FACTS), 'stitch');
  t.same(now.cause, ['now']);
});

t.test('minutes of a day', async (t) => {
  const date = new Date(2026, 5, 1, 23, 59, 58);
  t.equal(minuteOfDay(date.getTime()), 23 * 60 + 59);
  t.equal(minuteOfDay(date.getTime() + 2000), 0);
});
