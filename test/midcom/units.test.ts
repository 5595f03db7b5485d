/** The small parts: buckets, expiry, ranges, event log, conversions. */
import fc from 'fast-check';
import t from 'tap';
import { FLOW_STATES } from '../../src/flow/state.js';
import { EventLog } from '../../src/midcom/agents.js';
import { TokenBucket } from '../../src/midcom/bucket.js';
import { eventFrom, eventMessage, flowFrom, flowMessage } from '../../src/midcom/convert.js';
import { type Expiring, ExpirySet } from '../../src/midcom/expiry.js';
import { Flow, FlowState } from '../../src/midcom/gen/suture/v1/common.js';
import type { EventKind } from '../../src/midcom/gen/suture/v1/transactions.js';
import { formatRange, overlap, subtract } from '../../src/midcom/ranges.js';
import { snapshot } from './support/fake-backend.js';

const BUDGET = { interruptAfterTimeLimit: 2000 };

t.test('a bucket never gives more than its rate and its burst allow', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 200 }),
        (rate, burst, steps) => {
          const bucket = new TokenBucket(rate, burst, 0);
          let now = 0;
          let taken = 0;
          for (const step of steps) {
            now += step;
            if (bucket.take(now)) taken++;
          }
          return taken <= burst + (now * rate) / 1000 + 1e-6;
        },
      ),
      BUDGET,
    ),
  );
  const bucket = new TokenBucket(10, 2, 0);
  t.strictSame([bucket.take(0), bucket.take(0), bucket.take(0), bucket.take(100)], [true, true, false, true]);
});

t.test('expiry: each thing comes out once, not before its time and within the sweep after it', async (t) => {
  const step = fc.record({
    item: fc.nat(9),
    kind: fc.constantFrom('add', 'remove', 'renew'),
    lifetime: fc.nat(5000),
    wait: fc.nat(1500),
  });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        let now = 123;
        const set = new ExpirySet<Expiring>(now);
        const items = Array.from({ length: 10 }, () => ({ expiresAt: 0 }));
        const inside = new Set<Expiring>();
        for (const { item: index, kind, lifetime, wait } of steps) {
          const item = items[index] ?? { expiresAt: 0 };
          if (kind === 'remove') {
            set.remove(item);
            inside.delete(item);
          } else if (kind === 'add') {
            item.expiresAt = now + lifetime;
            set.add(item);
            inside.add(item);
          } else if (inside.has(item)) {
            item.expiresAt += lifetime;
          }
          now += wait;
          const due = set.due(now);
          const expected = [...inside].filter(({ expiresAt }) => expiresAt <= now);
          if (due.length !== expected.length || !expected.every((one) => due.includes(one))) return false;
          for (const one of due) inside.delete(one);
          if (set.size !== inside.size) return false;
        }
        return true;
      }),
      BUDGET,
    ),
  );
});

t.test('ranges: what is left is disjoint, and is what is in none of the others', async (t) => {
  const range = fc
    .tuple(fc.constantFrom('10.0.0.1', 'fd00::1'), fc.integer({ min: 1, max: 60 }), fc.nat(20))
    .map(([address, from, length]) => ({ address, from, to: from + length }));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(range, fc.array(range, { maxLength: 6 }), (whole, others) => {
        const rest = subtract(whole, others);
        for (let port = 0; port <= 90; port++) {
          const point = { address: whole.address, from: port, to: port };
          const wanted = overlap(whole, point) && !others.some((other) => overlap(other, point));
          if (rest.filter((part) => overlap(part, point)).length !== (wanted ? 1 : 0)) return false;
        }
        return true;
      }),
      BUDGET,
    ),
  );
  t.equal(formatRange({ address: 'fd00::1', from: 1, to: 2 }), '[fd00::1]:1-2');
  t.equal(formatRange({ address: '10.0.0.1', from: 1, to: 1 }), '10.0.0.1:1');
});

t.test('an event log keeps the latest, and knows when it can’t tell all', async (t) => {
  const flow = snapshot('x', 'relayed');
  for (let limit = 1; limit <= 4; limit++) {
    const log = new EventLog(limit);
    t.strictSame(log.after(0), []);
    for (let sent = 1; sent <= 20; sent++) {
      t.equal(log.add({ kind: 'state', flow }).sequence, sent);
      for (let heard = 0; heard <= sent + 1; heard++) {
        const missing = sent - heard;
        const told = log.after(heard)?.map(({ sequence }) => sequence);
        const wanted = Array.from({ length: Math.max(missing, 0) }, (_, i) => heard + 1 + i);
        if (missing < 0 || missing > limit) t.equal(told, undefined);
        else t.strictSame(told, wanted);
      }
    }
    log.clear();
    t.strictSame(log.after(0), []);
    t.equal(log.latest, 0);
  }
});

t.test('flows and events come back as they were', async (t) => {
  for (const state of FLOW_STATES) {
    const flow = { ...snapshot('f-1', state), reason: 'idle' as const };
    const bytes = Flow.encode(flowMessage(flow)).finish();
    t.strictSame(flowFrom(Flow.decode(bytes)), flow, state);
    t.equal(FlowState[flowMessage(flow).state], `FLOW_STATE_${state.toUpperCase()}`);
  }
  const flow = snapshot('f-2', 'closing');
  const segment = { seq: 0xffffffff, ack: 1, flags: 0x11, window: 502, payloadLength: 10 };
  for (const event of [
    { kind: 'state', flow },
    { kind: 'fin', from: 'peer', flow },
    { kind: 'rst', from: 'core', flow },
    { kind: 'fin', from: 'core', flow, held: true, answerExpected: true, segment, toldBy: 'shell' },
  ] as const) {
    t.strictSame(eventFrom(eventMessage(1, event)), event);
  }
  t.equal(
    eventFrom({
      sequence: 1,
      kind: 9 as EventKind,
      flow: flowMessage(flow),
      from: 0,
      held: false,
      answerExpected: false,
      toldBy: 0,
    }),
    undefined,
  );
  t.throws(() => flowFrom(undefined), { code: 'SUT_VERSION' });
  t.throws(() => flowFrom({ ...flowMessage(flow), state: 99 as FlowState }), { code: 'SUT_VERSION' });
});
