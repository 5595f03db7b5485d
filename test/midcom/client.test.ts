/** The agents' client against a real control service, through connections that are cut. */
import t from 'tap';
import type { FlowEvent, FlowSnapshot } from '../../src/dataplane/port.js';
import { ControlClient, type SwitchClientOptions } from '../../src/midcom/client.js';
import type { Reservation } from '../../src/midcom/port.js';
import { systemClock } from '../../src/platform/clock.js';
import { SutureError } from '../../src/platform/errors.js';
import { silentLog } from '../../src/platform/log.js';
import type { Endpoint } from '../../src/wire/endpoint.js';
import { FakeBackend, snapshot } from './support/fake-backend.js';
import { FakeClock } from './support/fake-clock.js';
import { connection, endpoint } from './support/raw-agent.js';
import { CutProxy, INNER, OFFERS, OUTER, Rig, recordingLog, until } from './support/rig.js';

const SHELL: Reservation = {
  watch: [
    { address: '10.201.2.2', from: 8080, to: 8080 },
    { address: '10.201.2.2', from: 20_000, to: 29_999 },
  ],
  offers: [],
};
const CORE: Reservation = { watch: [], offers: OFFERS.map(endpoint) };
const OFFSETS = { consumedFromPeer: 1, injectedToCore: 2, consumedFromCore: 3, injectedToPeer: 4 };
const outer = connection(OUTER);
const inner = connection(INNER);

type Tap = { teardown(work: () => unknown): void };

class TestClient extends ControlClient {
  readonly events: FlowEvent[] = [];
  readonly changes: string[] = [];
}

function client(t: Tap, place: Endpoint, more: Partial<SwitchClientOptions> = {}): TestClient {
  const made = new TestClient({
    name: 'a1',
    role: 'shell',
    switch: place,
    reservation: SHELL,
    clock: systemClock,
    log: silentLog(),
    backoff: { firstMs: 10, mostMs: 50 },
    ...more,
  });
  made.onEvent((event) => made.events.push(event));
  made.onSession((change) => made.changes.push(change));
  t.teardown(() => made.stop());
  return made;
}

async function scene(t: Tap, more: Partial<SwitchClientOptions> = {}, rigOptions = {}) {
  const rig = await Rig.started(rigOptions);
  const proxy = await new CutProxy(rig.control).start();
  const core = client(t, rig.control, { name: 'b1', role: 'core', reservation: CORE });
  const shell = client(t, proxy.endpoint, more);
  t.teardown(async () => {
    proxy.stop();
    await rig.stop();
  });
  await Promise.all([core.start(), shell.start()]);
  await Promise.all([core.whenReady(), shell.whenReady()]);
  return { rig, proxy, core, shell };
}

t.test('the life of a flow', async (t) => {
  const { rig, core, shell } = await scene(t);
  t.ok(shell.ready);
  const flow = await shell.pair(outer, inner);
  t.strictSame(flow, rig.backend.flows.get(flow.id), 'a snapshot comes through as it is');
  t.equal((await shell.enable(flow.id, OFFSETS, 'core')).state, 'clamping');
  t.strictSame(rig.backend.offsets.get(flow.id), OFFSETS);
  t.strictSame(
    (await shell.list()).map(({ id }) => id),
    [flow.id],
  );
  rig.backend.emit({ kind: 'rst', from: 'core', flow });
  await until(() => core.events.length === 1 && shell.events.length === 1);
  t.strictSame(core.events, [{ kind: 'rst', from: 'core', flow }]);
  const released = await shell.release(flow.id);
  t.match(released, { id: flow.id, state: 'closed', reason: 'released' });
  await t.rejects(shell.release(flow.id), { code: 'SUT_FLOW_UNKNOWN' });
  t.strictSame([shell.changes, core.changes], [['opened'], ['opened']]);
});

t.test('a failure keeps its code, and one of a newer switch its name', async (t) => {
  const { rig, shell } = await scene(t);
  rig.backend.failures.set('pair', new SutureError('SUT_FLOW_EXISTS', 'there is one'));
  await t.rejects(shell.pair(outer, inner), { code: 'SUT_FLOW_EXISTS', message: 'there is one' });
  rig.backend.failures.set('pair', new SutureError('SUT_LATER' as 'SUT_LIMIT', 'news'));
  await t.rejects(shell.pair(outer, inner), { code: 'SUT_INTERNAL', message: 'SUT_LATER: news' });
});

t.test('many requests at once, each with its own answer', async (t) => {
  const { rig, shell } = await scene(t);
  const flows = await Promise.all(
    Array.from({ length: 500 }, async (_, i) => {
      const far = { address: '10.201.1.2', port: 1024 + i };
      const near = { address: '10.201.2.2', port: 20_000 + i };
      const { id } = await shell.pair(
        { local: outer.local, remote: far },
        { local: near, remote: inner.remote },
      );
      await shell.enable(id, OFFSETS, 'core');
      return { id, port: near.port };
    }),
  );
  t.equal(new Set(flows.map(({ id }) => id)).size, 500);
  for (const { id, port } of flows) {
    const asked = rig.backend.pairs.find((pair) => pair.id === id);
    if (asked?.inner.local.port !== port) t.fail(`flow ${id} was answered with another's reply`);
  }
  t.equal((await shell.list()).length, 500, 'in several pages');
});

t.test('a cut connection: the session goes on, with its flows and what was missed', async (t) => {
  const { rig, proxy, core, shell } = await scene(t);
  const { id } = await shell.pair(outer, inner);
  proxy.cut(true);
  await until(() => shell.changes.includes('lost'));
  t.notOk(shell.ready);
  await t.rejects(shell.pair(outer, inner), { code: 'SUT_SESSION_STATE' });
  await until(() => rig.server.agents()[0]?.connected === false);
  rig.backend.move(id, 'relayed');
  rig.backend.move(id, 'closed', 'reset-by-peer');
  proxy.accept();
  await shell.whenReady();
  t.strictSame(shell.changes, ['opened', 'lost', 'resumed']);
  t.strictSame(
    shell.events.map(({ flow }) => [flow.state, flow.reason]),
    [
      ['relayed', undefined],
      ['closed', 'reset-by-peer'],
    ],
  );
  t.strictSame(core.changes, ['opened'], 'the other agent noticed nothing');
  t.match(await shell.pair(outer, inner), { state: 'watched' });
});

t.test('when too much was missed the client makes up for it from the list', async (t) => {
  const { rig, proxy, shell } = await scene(t, {}, { limits: { eventsKept: 1 } });
  const first = await shell.pair(outer, inner);
  const second = await shell.pair(
    { ...outer, remote: { address: '10.201.1.2', port: 9 } },
    { ...inner, local: { address: '10.201.2.2', port: 20_009 } },
  );
  proxy.cut(true);
  await until(() => rig.server.agents()[0]?.connected === false);
  rig.backend.move(first.id, 'closed', 'fin');
  rig.backend.move(second.id, 'clamping');
  rig.backend.move(second.id, 'stitched');
  proxy.accept();
  await until(() => shell.changes.includes('resumed'));
  t.strictSame(
    shell.events.map(({ flow }) => [flow.id, flow.state]),
    [
      [second.id, 'stitched'],
      [first.id, 'closed'],
    ],
  );
});

t.test('a flow whose reply was lost is released', async (t) => {
  const { rig, proxy, shell } = await scene(t);
  const release = rig.backend.hold('pair');
  const pairing = shell.pair(outer, inner);
  const refused = t.rejects(pairing, { code: 'SUT_SESSION_STATE' });
  await until(() => rig.backend.calls.includes('pair'));
  proxy.cut(true);
  await refused;
  release();
  await until(() => rig.backend.flows.size === 1);
  // Its connections went on without it, and have begun to end.
  for (const id of rig.backend.flows.keys()) rig.backend.move(id, 'closing');
  proxy.accept();
  await until(() => shell.changes.includes('resumed'));
  t.equal(rig.backend.flows.size, 0);
  t.equal(rig.server.counters().flows, 0);
});

t.test('a flow that is made after its session was taken over is released', async (t) => {
  const { rig, proxy, shell } = await scene(t);
  const release = rig.backend.hold('pair');
  const refused = t.rejects(shell.pair(outer, inner), { code: 'SUT_SESSION_STATE' });
  await until(() => rig.backend.calls.includes('pair'));
  proxy.cut();
  await refused;
  await until(() => shell.changes.includes('resumed'));
  rig.backend.gates.clear();
  release();
  await until(() => rig.backend.calls.includes('close'));
  await until(() => rig.server.counters().flows === 0);
  t.equal(rig.backend.flows.size, 0, 'nobody will ever ask for it');
  await shell.pair(outer, inner);
});

t.test('a reply that comes too late is for nobody, and its flow is released', async (t) => {
  const { rig, shell } = await scene(t, { requestTimeoutMs: 100 });
  const release = rig.backend.hold('pair');
  await t.rejects(shell.pair(outer, inner), { code: 'SUT_TIMEOUT' });
  release();
  await until(() => rig.backend.calls.includes('close') && rig.backend.flows.size === 0);
  t.strictSame(shell.changes, ['opened'], 'a timeout alone does not end the session');
  t.match(await shell.pair(outer, inner), { state: 'watched' });
});

t.test('a switch that was restarted: a new epoch, and the reservation is made again', async (t) => {
  const { rig, proxy, shell } = await scene(t);
  await shell.pair(outer, inner);
  const backend = new FakeBackend();
  backend.instance = 'instance-2';
  const next = await Rig.started({}, backend);
  t.teardown(() => next.stop());
  proxy.retarget(next.control);
  await rig.server.stop();
  await until(() => shell.changes.includes('renewed'));
  t.strictSame(shell.changes, ['opened', 'lost', 'renewed']);
  t.equal(backend.owned.size, 2);
  t.equal(shell.events.length, 0);
});

t.test(
  'a switch that was restarted and has the flows: kept, and those that nobody knows released',
  async (t) => {
    const { rig, proxy, shell } = await scene(t);
    const flow = await shell.pair(outer, inner);
    rig.backend.move(flow.id, 'cutting');
    await until(() => shell.events.length === 1);
    rig.backend.gates.set('pair', new Promise(() => undefined));
    const other = { ...outer, remote: { ...outer.remote, port: 40_001 } };
    const second = { ...inner, local: { ...inner.local, port: 20_001 } };
    const refused = t.rejects(shell.pair(other, second), { code: 'SUT_SESSION_STATE' });
    await until(() => rig.backend.calls.filter((name) => name === 'pair').length === 2);

    const backend = new FakeBackend();
    backend.instance = 'instance-2';
    backend.flows.set(flow.id, snapshot(flow.id, 'cutting'));
    backend.flows.set('orphan', snapshot('orphan', 'relayed'));
    const next = await Rig.started({}, backend);
    t.teardown(() => next.stop());
    const adopted = { shell: 'a1', teardown: 'core', isEnabled: true } as const;
    await next.server.adopt([
      { ...adopted, id: flow.id, outer, inner },
      { ...adopted, id: 'orphan', outer: other, inner: second },
    ]);
    // Its session is lost once more, in the middle of the comparison.
    backend.failures.set('list', new SutureError('SUT_INTERNAL', 'not now'));
    proxy.retarget(next.control);
    proxy.cut();
    await refused;
    await until(() => shell.changes.includes('renewed') || shell.changes.includes('resumed'));
    t.strictSame(
      shell.changes,
      ['opened', 'lost', 'renewed'],
      'the second session is the first with this switch',
    );
    t.strictSame([...backend.flows.keys()], [flow.id]);
    t.match(await shell.list(), [{ id: flow.id, state: 'cutting' }]);
    backend.move(flow.id, 'stitched');
    await until(() => shell.events.at(-1)?.flow.state === 'stitched');
  },
);

t.test('a switch that forgot the session but not its state: resumed, from the list', async (t) => {
  const { rig, proxy, shell } = await scene(t);
  const { id } = await shell.pair(outer, inner);
  const next = await Rig.started({}, rig.backend);
  t.teardown(() => next.stop());
  proxy.retarget(next.control);
  proxy.cut();
  await until(() => shell.changes.includes('resumed'));
  t.match(shell.events, [{ flow: { id, state: 'closed' } }], 'its control service has no flow of this agent');
});

t.test('a killed agent that is started again keeps what it had, and is told of it', async (t) => {
  const serverClock = new FakeClock();
  const { rig, proxy, shell } = await scene(t, {}, { clock: serverClock, limits: { lifetimeSeconds: 600 } });
  const flow = await shell.pair(outer, inner);
  rig.backend.move(flow.id, 'stitched');
  await serverClock.advance(500_000);
  // No word to the switch, as when a process is killed; another has no token of its session.
  proxy.cut(true);
  await until(() => rig.server.agents().some(({ name, connected }) => name === 'a1' && !connected));
  await shell.stop();
  const left: FlowSnapshot[] = [];
  const again = client(t, rig.control);
  again.onSession((_change, flows) => left.push(...flows));
  await again.start();
  await again.whenReady();
  t.same(again.changes, ['opened']);
  t.match(left, [{ id: flow.id, state: 'stitched', ends: { outer, inner } }]);
  await serverClock.advance(200_000);
  t.equal(rig.backend.flows.get(flow.id)?.state, 'stitched', 'its lifetime began anew with the session');
});

t.test('lifetimes are renewed between a half and five eighths', async (t) => {
  for (const [random, least, most] of [
    [0, 300_000, 310_000],
    [0.999, 374_000, 385_000],
  ] as const) {
    const clock = new FakeClock();
    const { rig, shell, core } = await scene(
      t,
      { clock, random: () => random },
      { limits: { lifetimeSeconds: 600 } },
    );
    await until(() => clock.sleeping >= 2);
    const started = clock.monotonic();
    const requests = rig.server.counters().requests;
    while (rig.server.counters().requests === requests && clock.monotonic() - started < 600_000) {
      await clock.advance(1000);
      await systemClock.sleep(1);
    }
    // Besides the second that a step takes, the request has a few more to arrive.
    const after = clock.monotonic() - started;
    t.ok(after >= least && after <= most, `renewed after ${after} ms`);
    await Promise.all([shell.stop(), core.stop()]);
  }
});

t.test('waiting for a session', async (t) => {
  const rig = await Rig.started();
  t.teardown(() => rig.stop());
  const proxy = await new CutProxy(rig.control).start();
  t.teardown(() => proxy.stop());
  proxy.cut(true);
  const { log, lines } = recordingLog();
  const shell = client(t, proxy.endpoint, { log });
  await shell.start();
  const impatient = new AbortController();
  const given = shell.whenReady(impatient.signal);
  impatient.abort(new Error('enough'));
  await t.rejects(given, { message: 'enough' });
  const patient = shell.whenReady();
  await until(() => lines.some(({ msg }) => msg.includes('trying again')));
  proxy.accept();
  await patient;
  await shell.whenReady();
  const other = client(t, rig.control, { name: 'a2', reservation: { watch: [], offers: [] } });
  const never = other.whenReady();
  await other.stop();
  await t.rejects(never, { code: 'SUT_SHUTTING_DOWN' });
  await other.stop();
});

t.test('an agent that the switch refuses keeps trying, and says why', async (t) => {
  const rig = await Rig.started();
  t.teardown(() => rig.stop());
  const { log, lines } = recordingLog();
  const shell = client(t, rig.control, { name: 'a9', log });
  await shell.start();
  await until(() => lines.length >= 3);
  t.match(lines[0], { level: 'warn', code: 'SUT_IDENTITY', cause: /no agent "a9"/ });
  t.match(lines[1], { level: 'debug' }, 'the same trouble is one warning');
  t.notOk(shell.ready);
});

t.test('a switch that is not found is looked for again', async (t) => {
  const rig = await Rig.started();
  t.teardown(() => rig.stop());
  let tries = 0;
  const locate = async (): Promise<Endpoint> => {
    if (++tries < 3) throw new SutureError('SUT_NOT_AVAILABLE', 'no switch answered');
    return rig.control;
  };
  const shell = client(t, { address: '192.0.2.1', port: 1 }, { switch: 'discover', locate });
  await shell.start();
  await shell.whenReady();
  t.equal(tries, 3);
});

t.test('a session ends in order', async (t) => {
  const { rig, shell } = await scene(t);
  await shell.pair(outer, inner);
  await shell.stop();
  t.equal(rig.server.counters().sessionsClosed, 1);
  t.equal(rig.server.counters().sessionsLost, 0);
  t.equal(rig.backend.flows.size, 1, 'flows stay until their lifetime ends');
  t.equal(rig.backend.owned.size, 2);
});
