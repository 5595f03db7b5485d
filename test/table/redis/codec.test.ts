import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import {
  BROKEN_REASONS,
  CLOSE_REASONS,
  FLOW_STATES,
  REFUSAL_REASONS,
  TEARDOWN_MODES,
} from '../../../src/flow/state.js';
import type { FlowRecord } from '../../../src/table/port.js';
import { decodeRecord, encodeRecord, expiryScore } from '../../../src/table/redis/codec.js';
import { keysOf } from '../../../src/table/redis/keys.js';
import { canonicalAddress } from '../../../src/wire/endpoint.js';
import { flowRecord } from '../../contract/table.js';

const PLAIN = { noNullPrototype: true };
const KEY = 'suture:{g}:flow:1';
const time = fc.nat({ max: 2 ** 43 });
const address = fc
  .oneof(fc.ipV4(), fc.ipV6())
  .map((text) => canonicalAddress(text))
  .filter((text) => text !== undefined);
const endpoint = fc.record({ address, port: fc.integer({ min: 1, max: 65_535 }) }, PLAIN);
const ends = fc.record({ local: endpoint, remote: endpoint }, PLAIN);
const counters = fc.record({ packets: fc.maxSafeNat(), bytes: fc.maxSafeNat() }, PLAIN);
const state = fc.constantFrom(...FLOW_STATES);

const word = fc.nat({ max: 2 ** 32 - 1 });
const mss = fc.nat({ max: 65_535 });
const scale = fc.nat({ max: 14 });
const connection = fc.record(
  {
    delta: word,
    tsDelta: word,
    farScale: scale,
    shellScale: scale,
    farMss: mss,
    shellMss: mss,
    timestamps: fc.boolean(),
    sack: fc.boolean(),
    ecn: fc.boolean(),
    finEnd: word,
    farMax: word,
    farAck: word,
    toldAck: word,
  },
  {
    ...PLAIN,
    requiredKeys: [
      ...([
        'delta',
        'tsDelta',
        'farScale',
        'shellScale',
        'farMss',
        'shellMss',
        'timestamps',
        'sack',
      ] as const),
      ...(['ecn', 'farMax', 'farAck', 'toldAck'] as const),
    ],
  },
);

const record: fc.Arbitrary<FlowRecord> = fc.record(
  {
    id: fc.constant('1'),
    state,
    reason: fc.constantFrom(...REFUSAL_REASONS, ...BROKEN_REASONS, ...CLOSE_REASONS),
    agent: fc.string({ minLength: 1 }),
    outer: ends,
    inner: ends,
    up: counters,
    down: counters,
    toShellStitched: counters,
    openedAt: time,
    enabledAt: time,
    stitchedAt: time,
    closedAt: time,
    openedBy: fc.constantFrom('peer', 'core'),
    stitchCause: fc.array(fc.string(), { minLength: 1 }),
    teardown: fc.constantFrom(...TEARDOWN_MODES),
    saved: fc.record({ outer: connection, inner: connection }, PLAIN),
    history: fc.array(fc.record({ state, at: time }, PLAIN), { maxLength: 8 }),
  },
  {
    ...PLAIN,
    requiredKeys: [
      'id',
      'state',
      'agent',
      'outer',
      'inner',
      'up',
      'down',
      'toShellStitched',
      'openedAt',
      'history',
    ],
  },
);

t.test('a record reads back to the same', async (t) => {
  const same = fc.property(record, (one) => assert.deepEqual(decodeRecord(KEY, '1', encodeRecord(one)), one));
  fc.assert(same, { interruptAfterTimeLimit: 2_000, markInterruptAsFailure: false });
  t.pass('for all that were tried');
});

t.test('fields that this version does not know change nothing', async (t) => {
  const hash = { ...encodeRecord(flowRecord('1')), later: 'x' };
  t.strictSame(decodeRecord(KEY, '1', hash), flowRecord('1'));
});

t.test('what is no record of this layout is refused, with key and field', async (t) => {
  const good = encodeRecord(flowRecord('1'));
  const cases: [change: Record<string, string | undefined>, message: RegExp][] = [
    [{ v: '2' }, /suture:\{g\}:flow:1 was written by a newer version: found layout 2, expected 1/],
    [{ v: undefined }, /its field v is missing/],
    [{ v: 'x' }, /its field v is "x"/],
    [{ state: 'flying' }, /its field state is "flying"/],
    [{ opened: '' }, /its field opened is ""/],
    [{ closed: 'soon' }, /its field closed is "soon"/],
    [{ 'outer.local': '10.0.0.1' }, /its field outer\.local is "10\.0\.0\.1"/],
    [{ 'inner.remote': undefined }, /its field inner\.remote is missing/],
    [{ up: '1' }, /its field up is "1"/],
    [{ history: '1+0 x' }, /its field history is "1\+0 x"/],
    [{ history: '9+0' }, /its field state is/],
  ];
  for (const [change, message] of cases) {
    const hash = Object.fromEntries(
      Object.entries({ ...good, ...change }).filter(
        (entry): entry is [string, string] => entry[1] !== undefined,
      ),
    );
    t.throws(() => decodeRecord(KEY, '1', hash), { name: 'SutureError', message });
  }
});

t.test('values stay short enough for the compact form of a hash', async (t) => {
  const long = { address: '2001:db8:1234:5678:9abc:def0:1234:5678', port: 65_535 };
  const at = Date.UTC(2030, 0, 1);
  const history = ['watched', 'relayed', 'clamping', 'cutting', 'stitched', 'closing', 'closed'] as const;
  const full = flowRecord('1', {
    outer: { local: long, remote: long },
    up: { packets: 2 ** 53 - 1, bytes: 2 ** 53 - 1 },
    openedAt: at,
    // A year after it was stitched.
    history: history.map((state, i) => ({ state, at: at + 1_000 * i + (i > 4 ? 31_536_000_000 : 0) })),
  });
  for (const [name, value] of Object.entries(encodeRecord(full)))
    t.ok(value.length <= 64, `${name}: ${value}`);
});

t.test('an open flow never expires; one that has ended does after a while', async (t) => {
  t.equal(expiryScore(flowRecord('1'), 1_000), 'inf');
  t.equal(expiryScore(flowRecord('1', { closedAt: 5_000 }), 1_000), '6000');
});

t.test('all keys of a group are in one slot of a cluster', async (t) => {
  const keys = keysOf('my-group');
  for (const key of [keys.lease, keys.flows, keys.events, keys.flow('a-1')]) {
    t.match(key, /^suture:\{my-group\}:/);
    t.equal(key.indexOf('{'), key.lastIndexOf('{'));
  }
});
