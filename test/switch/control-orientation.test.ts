/** A flow that the core opened, between the names of the data path and those of everyone else. */
import t from 'tap';
import type { DataPlane, FlowEvent, FlowSide, FlowSnapshot, PairRequest } from '../../src/dataplane/port.js';
import { statesOf } from '../../src/dataplane/snapshot.js';
import type { StitchOffsets } from '../../src/flow/endpoints.js';
import { systemClock } from '../../src/platform/clock.js';
import { silentLog } from '../../src/platform/log.js';
import { flowDetail } from '../../src/switch/admin-protocol.js';
import { Control } from '../../src/switch/control.js';
import { MemoryTable } from '../../src/table/memory.js';
import type { FlowRecord } from '../../src/table/port.js';

const OUTER = { local: { address: '10.0.2.2', port: 20000 }, remote: { address: '10.0.1.2', port: 80 } };
const INNER = { local: { address: '10.0.2.2', port: 1080 }, remote: { address: '10.0.3.2', port: 41000 } };
const OFFSETS = { consumedFromPeer: 1, injectedToCore: 2, consumedFromCore: 3, injectedToPeer: 4 };
const AS_IT_CAME: Partial<FlowSnapshot> = { up: { packets: 1, bytes: 10 }, down: { packets: 2, bytes: 20 } };

class Plane implements DataPlane {
  readonly kind = 'userspace';
  readonly pairs: PairRequest[] = [];
  readonly offsets: StitchOffsets[] = [];
  readonly proceeded: FlowSide[] = [];
  failing = false;
  listener: (event: FlowEvent) => void = () => {};
  flow: FlowSnapshot | undefined;
  async start() {}
  async stop() {}
  async leave() {}
  async forward() {}
  async restore() {
    return [];
  }
  async drop() {}
  async own() {}
  async disown() {}
  async steer() {}
  onMiss() {}
  async counters() {
    return {};
  }
  async pair(request: PairRequest) {
    this.pairs.push(request);
    return this.become('watched', request.id);
  }
  async enable(_id: string, offsets: StitchOffsets) {
    if (this.failing) throw new Error('no');
    this.offsets.push(offsets);
    return this.become('clamping');
  }
  async proceed(_id: string, from: FlowSide) {
    this.proceeded.push(from);
    return this.become('closing');
  }
  async close() {
    return this.become('closed');
  }
  async list() {
    return this.flow ? [this.flow] : [];
  }
  async states() {
    return statesOf(this.flow ? [{ ...this.flow, savable: false }] : []);
  }
  onEvent(listener: (event: FlowEvent) => void) {
    this.listener = listener;
  }
  become(state: FlowSnapshot['state'], id = this.flow?.id ?? ''): FlowSnapshot {
    const { up = { packets: 0, bytes: 0 }, down = { packets: 0, bytes: 0 } } = AS_IT_CAME;
    const history = [...(this.flow?.history ?? []), { state, at: 1 }];
    this.flow = { id, state, up, down, toShellStitched: { packets: 0, bytes: 0 }, history };
    return this.flow;
  }
}

function scene(cores: readonly string[] = []) {
  const plane = new Plane();
  const table = new MemoryTable();
  const control = new Control({
    plane,
    table,
    clock: systemClock,
    log: silentLog(),
    drainLimit: 0,
    agentOf: () => 'a1',
    isCore: (address) => cores.includes(address),
  });
  const pair = (openedBy: 'peer' | 'core') =>
    control.pair({ id: 'f', outer: OUTER, inner: INNER, shell: 'a1', core: 'b1', openedBy });
  return { plane, table, control, pair };
}

const TURNED = { up: { packets: 2, bytes: 20 }, down: { packets: 1, bytes: 10 } };

t.test('what the peer opened is the same to both', async (t) => {
  const { plane, table, control, pair } = scene();
  t.match(await pair('peer'), AS_IT_CAME);
  t.strictSame(plane.pairs, [{ id: 'f', outer: OUTER, inner: INNER }]);
  await control.enable('f', OFFSETS, 'core');
  t.strictSame(plane.offsets, [OFFSETS]);
  await control.proceed('f', 'core');
  t.strictSame(plane.proceeded, ['core']);
  const record = await table.get('f');
  t.notOk(record && ('openedBy' in record || 'stitchCause' in record));
  t.equal(flowDetail(record as FlowRecord).openedBy, 'peer');
  t.match(flowDetail((await control.flow('f')) as FlowRecord), { openedBy: 'peer', teardown: 'core' });
});

t.test('what the core opened is turned, both ways', async (t) => {
  const { plane, table, control, pair } = scene();
  const events: FlowEvent[] = [];
  control.onEvent((event) => events.push(event));
  t.match(await pair('core'), TURNED);
  t.strictSame(plane.pairs, [{ id: 'f', outer: INNER, inner: OUTER }], 'its outer came first');
  t.match(await control.enable('f', OFFSETS, 'core', ['now']), TURNED);
  t.strictSame(plane.offsets, [
    { consumedFromPeer: 3, injectedToCore: 4, consumedFromCore: 1, injectedToPeer: 2 },
  ]);
  for (const [from, expected] of [
    ['peer', 'core'],
    ['core', 'peer'],
  ] as const) {
    const flow: FlowSnapshot = { ...plane.become('stitched'), reason: `reset-by-${from}` };
    plane.listener({ kind: 'rst', flow, from });
    await new Promise(setImmediate);
    t.match(events.at(-1), {
      kind: 'rst',
      from: expected,
      flow: { ...TURNED, reason: `reset-by-${expected}` },
    });
  }
  plane.listener({ kind: 'state', flow: { ...plane.become('stitched'), reason: 'fin' } });
  await new Promise(setImmediate);
  t.match(events.at(-1), { kind: 'state', flow: { ...TURNED, reason: 'fin' } });
  t.notOk('from' in (events.at(-1) ?? {}));

  t.match(await control.proceed('f', 'peer'), TURNED);
  await control.proceed('f', 'core');
  t.strictSame(plane.proceeded, ['core', 'peer'], 'the end by its place in the data path');
  await t.rejects(control.proceed('g', 'core'), { code: 'SUT_FLOW_UNKNOWN' });

  const expected = { ...TURNED, outer: OUTER, inner: INNER, openedBy: 'core', stitchCause: ['now'] };
  t.match(await table.get('f'), expected);
  t.match(await control.flow('f'), expected, 'with its counters of now');
  t.match(await control.flows({}), [expected]);
  t.match(flowDetail((await table.get('f')) as FlowRecord), { openedBy: 'core', stitchCause: ['now'] });
  t.match(await control.close('f'), TURNED);
});

t.test('a flow that a table never knew says by its ends who opened it', async (t) => {
  const ends = { outer: INNER, inner: OUTER };
  const found = async (cores: readonly string[]) => {
    const { plane, table, control } = scene(cores);
    plane.flow = { ...plane.become('stitched', 'f'), ends, teardown: 'control' };
    await control.adopt();
    return table.get('f');
  };
  const turned = { ...TURNED, outer: OUTER, inner: INNER, openedBy: 'core', teardown: 'control' };
  t.match(await found(['10.0.3.2']), turned, 'it came from a core');
  t.match(await found(['10.0.1.2']), { ...AS_IT_CAME, ...ends, openedBy: undefined }, 'it goes to a core');
  t.match(await found(['10.0.1.2', '10.0.3.2']), { ...ends, openedBy: undefined }, 'and between two of them');
});

t.test('a stitch that was not begun has no cause', async (t) => {
  const { plane, control, pair } = scene();
  await pair('core');
  plane.failing = true;
  await t.rejects(control.enable('f', OFFSETS, 'core', ['now']));
  t.notOk('stitchCause' in ((await control.flow('f')) ?? {}));
  await t.rejects(control.enable('g', OFFSETS, 'core'), { code: 'SUT_FLOW_UNKNOWN' });
});
