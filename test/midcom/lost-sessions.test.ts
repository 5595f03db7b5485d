/** What becomes of an agent's flows and requests when its connection is cut, or its switch or itself is started again. */
import t from 'tap';
import type { FlowSnapshot } from '../../src/dataplane/port.js';
import { SutureError } from '../../src/platform/errors.js';
import { client, clientScene, inner, outer } from './support/clients.js';
import { FakeBackend, snapshot } from './support/fake-backend.js';
import { FakeClock } from './support/fake-clock.js';
import { Rig, until } from './support/rig.js';

t.test('a cut connection: the session goes on, with its flows and what was missed', async (t) => {
  const { rig, proxy, core, shell } = await clientScene(t);
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
  const { rig, proxy, shell } = await clientScene(t, {}, { limits: { eventsKept: 1 } });
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
  const { rig, proxy, shell } = await clientScene(t);
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
  const { rig, proxy, shell } = await clientScene(t);
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
  const { rig, shell } = await clientScene(t, { requestTimeoutMs: 100 });
  const release = rig.backend.hold('pair');
  await t.rejects(shell.pair(outer, inner), { code: 'SUT_TIMEOUT' });
  release();
  await until(() => rig.backend.calls.includes('close') && rig.backend.flows.size === 0);
  t.strictSame(shell.changes, ['opened'], 'a timeout alone does not end the session');
  t.match(await shell.pair(outer, inner), { state: 'watched' });
});

t.test('a switch that was restarted: a new epoch, and the reservation is made again', async (t) => {
  const { rig, proxy, shell } = await clientScene(t);
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
    const { rig, proxy, shell } = await clientScene(t);
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
  const { rig, proxy, shell } = await clientScene(t);
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
  const { rig, proxy, shell } = await clientScene(
    t,
    {},
    { clock: serverClock, limits: { lifetimeSeconds: 600 } },
  );
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
