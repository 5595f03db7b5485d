/** A stitched flow in another engine: translated at once, and silent until it knows where it stands. */
import t from 'tap';
import type { FlowEngine } from '../../src/flow/engine.js';
import { type SavedFlow, saveFlow } from '../../src/flow/restore.js';
import type { TeardownMode } from '../../src/flow/state.js';
import { TcpFlag } from '../../src/wire/segment.js';
import { Driver, INNER, OUTER } from './driver.js';

const { Fin, Rst, Syn } = TcpFlag;
const TS = { tsval: 120, tsecr: 110 };

/** Leads a flow to `state`, and gives it to a new engine; `change` makes what was saved old. */
function restored(
  state: 'stitched' | 'closing' = 'stitched',
  change: (saved: SavedFlow) => SavedFlow = (saved) => saved,
  teardown: TeardownMode = 'core',
): Driver {
  const before = new Driver({ teardown }).reach(state);
  const flow = before.engine.flow('f');
  const saved = flow && saveFlow(flow);
  if (!flow || !saved) throw new Error('nothing was saved');
  const after = new Driver();
  const past = { state, up: flow.outer.far, down: flow.inner.far, history: flow.history };
  after.engine.restore('f', { outer: OUTER, inner: INNER }, change(saved), past, after.now, teardown);
  return after;
}

/** As after gigabytes: every number lies where it compares the wrong way. */
function old({ outer, inner }: SavedFlow): SavedFlow {
  const far = (n: number): number => (n + 2 ** 31 + 12_345) >>> 0;
  const one = (c: SavedFlow['outer']): SavedFlow['outer'] => ({
    ...c,
    farMax: far(c.farMax),
    farAck: far(c.farAck),
    toldAck: far(c.toldAck),
  });
  return { outer: one(outer), inner: one(inner) };
}

for (const [name, change] of [
  ['fresh', (saved: SavedFlow) => saved],
  ['old', old],
] as const) {
  t.test(`${name} numbers: packets are translated as before`, async (t) => {
    const [one, two] = [new Driver().reach('stitched'), restored('stitched', change)];
    const packets = [
      ['E', { seq: 150, ack: 0, len: 100, ...TS }],
      ['B', { seq: 0, ack: 250, len: 70, ...TS }],
      ['E', { seq: 250, ack: 70, window: 0, ...TS }],
      ['E', { seq: 150, ack: 70, len: 100, ...TS }],
      ['B', { seq: 70, ack: 250, sack: [[300, 400]] as const, ...TS }],
    ] as const;
    for (const [from, given] of packets) t.equal(two.send(from, given), one.send(from, given), from);
    t.equal(two.send('A>E', { seq: 0, ack: 150 }), 'swallowed');
    t.equal(two.state, 'stitched');
  });

  t.test(`${name} numbers: nothing is said before both ends were heard`, async (t) => {
    const d = restored('stitched', change);
    t.equal(d.send('E', { seq: -1, flags: Syn }), 'swallowed', 'no ack with numbers that nobody knows');
    d.send('E', { seq: 150, ack: 0, len: 100, ...TS });
    t.equal(d.send('E', { seq: -1, flags: Syn }), 'swallowed');
    d.send('B', { seq: 0, ack: 250, ...TS });
    t.match(d.send('E', { seq: -1, flags: Syn }), /^made E 0 ack 250/);
  });
}

t.test('old numbers end nothing', async (t) => {
  const d = restored('closing', old);
  d.send('E', { seq: 151, ack: 0, ...TS });
  t.equal(d.state, 'closing');
  d.send('B', { seq: 0, ack: 151, flags: Fin, ...TS });
  t.equal(d.state, 'closing', 'one FIN is not acknowledged');
  d.send('E', { seq: 151, ack: 1, ...TS });
  t.match(d.engine.flow('f'), { state: 'closed', reason: 'fin' });
});

t.test('a reset counts where the other end was heard, or nothing has moved', async (t) => {
  const moved = restored('stitched', old);
  moved.send('E', { seq: 150, flags: Rst });
  t.equal(moved.state, 'stitched', 'nobody knows whether its receiver obeys');
  moved.send('B', { seq: 0, ack: 150, len: 10, ...TS });
  moved.send('E', { seq: 150, flags: Rst });
  t.match(moved.engine.flow('f'), { state: 'closed', reason: 'reset-by-peer' });
  const idle = restored();
  idle.send('E', { seq: 150, flags: Rst });
  t.match(idle.engine.flow('f'), { state: 'closed', reason: 'reset-by-peer' });
});

t.test('a bare ack behind the end of the window is lifted to what the far end has', async (t) => {
  const d = restored('stitched', old);
  d.send('B', { seq: 0, ack: 400, ...TS });
  t.match(d.send('E', { seq: 399, ack: 0, ...TS }), /B 399/, 'a keepalive stays low');
  d.send('B', { seq: 0, ack: 500, ...TS });
  t.match(d.send('E', { seq: 500, ack: 0, ...TS }), /B 500/);
});

t.test('what can not be restored', async (t) => {
  for (const state of ['watched', 'relayed', 'clamping', 'cutting', 'broken', 'closed'] as const) {
    const flow = new Driver().reach(state).engine.flow('f');
    t.equal(flow && saveFlow(flow), undefined, state);
  }
  const d = restored();
  const again = (id: string, engine: FlowEngine): unknown => {
    const saved = saveFlow(engine.flow('f') as never) as SavedFlow;
    const none = { packets: 0, bytes: 0 };
    const past = { state: 'stitched', up: none, down: none, history: [] } as const;
    return engine.restore(id, { outer: OUTER, inner: INNER }, saved, past, 1);
  };
  t.throws(() => again('f', d.engine), { code: 'SUT_FLOW_EXISTS' });
  t.throws(() => again('g', d.engine), { code: 'SUT_CONFLICT' });
  d.engine.drop('f');
  t.equal(d.state, 'gone');
});

t.test('a flow that holds its ends goes on to hold them', async (t) => {
  for (const change of [(saved: SavedFlow) => saved, old]) {
    const d = restored('stitched', change, 'control');
    const fin = { seq: 150, ack: 0, flags: Fin, ...TS };
    t.equal(
      d.send('E', fin),
      'B 150 ack 0',
      'without its FIN, and unanswered: nobody knows what the core has',
    );
    t.equal(d.state, 'closing');
    d.send('B', { seq: 0, ack: 150, ...TS });
    t.equal(d.send('E', fin), 'made E 0 ack 151', 'the core has all before it');
    t.equal(d.proceed('peer'), 'made B 150 ack 0 fin');
    t.equal(d.send('B', { seq: 0, ack: 151, ...TS }), 'E 0 ack 151');
  }
});

t.test('a FIN that was held is held no more', async (t) => {
  const d = restored('closing', undefined, 'control');
  t.equal(d.engine.flow('f')?.teardown, 'core');
  t.equal(d.send('B', { seq: 0, ack: 150, flags: Fin, ...TS }), 'E 0 ack 150 fin');
});
