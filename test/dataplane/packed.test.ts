/** Snapshots and requests go from thread to thread as they are, all at once. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { packRestores, packSnapshots, unpackRestores, unpackSnapshots } from '../../src/dataplane/packed.js';
import { CLOSE_REASONS, FLOW_STATES, TEARDOWN_MODES } from '../../src/flow/state.js';

const PLAIN = { noNullPrototype: true };
const word = fc.nat({ max: 2 ** 32 - 1 });
const byte = fc.nat({ max: 255 });
const state = fc.constantFrom(...FLOW_STATES);
const endpoint = fc.record({ address: fc.string(), port: fc.nat({ max: 65_535 }) }, PLAIN);
const ends = fc.record({ local: endpoint, remote: endpoint }, PLAIN);
const counters = fc.record({ packets: fc.maxSafeNat(), bytes: fc.maxSafeNat() }, PLAIN);
const history = fc.array(fc.record({ state, at: fc.integer() }, PLAIN), { maxLength: 8 });
const constants = {
  delta: word,
  tsDelta: word,
  farScale: byte,
  shellScale: byte,
  farMss: word,
  shellMss: word,
  timestamps: fc.boolean(),
  sack: fc.boolean(),
  ecn: fc.boolean(),
  farMax: word,
  farAck: word,
  toldAck: word,
};
const requiredKeys = Object.keys(constants) as (keyof typeof constants)[];
const connection = fc.record({ ...constants, finEnd: word }, { ...PLAIN, requiredKeys });
const saved = fc.record({ outer: connection, inner: connection }, PLAIN);

const snapshot = fc.record(
  {
    id: fc.string(),
    state,
    reason: fc.constantFrom(...CLOSE_REASONS),
    up: counters,
    down: counters,
    toShellStitched: counters,
    ends: fc.record({ outer: ends, inner: ends }, PLAIN),
    saved,
    history,
  },
  { ...PLAIN, requiredKeys: ['id', 'state', 'up', 'down', 'toShellStitched', 'history'] },
);

const request = fc.record(
  {
    id: fc.string(),
    outer: ends,
    inner: ends,
    saved,
    past: fc.record(
      {
        state: fc.constantFrom('stitched' as const, 'closing' as const),
        up: counters,
        down: counters,
        history,
      },
      PLAIN,
    ),
    teardown: fc.constantFrom(...TEARDOWN_MODES),
  },
  PLAIN,
);

const LIMITS = { interruptAfterTimeLimit: 2_000, markInterruptAsFailure: false };

t.test('snapshots', async (t) => {
  const flows = fc.array(snapshot, { maxLength: 20 });
  const same = fc.property(flows, (list) =>
    assert.deepEqual(unpackSnapshots(structuredClone(packSnapshots(list))), list),
  );
  fc.assert(same, LIMITS);
  t.pass('for all that were tried');
});

t.test('requests to restore', async (t) => {
  const flows = fc.array(request, { maxLength: 200 });
  const same = fc.property(flows, (list) =>
    assert.deepEqual([...unpackRestores(structuredClone(packRestores(list)))], list),
  );
  fc.assert(same, LIMITS);
  t.pass('for all that were tried');
});
