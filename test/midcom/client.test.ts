/** The agents' client against a real control service: its requests, and how its session begins and ends. */
import t from 'tap';
import { systemClock } from '../../src/platform/clock.js';
import { SutureError } from '../../src/platform/errors.js';
import type { Endpoint } from '../../src/wire/endpoint.js';
import { client, clientScene, inner, OFFSETS, outer } from './support/clients.js';
import { snapshot } from './support/fake-backend.js';
import { FakeClock } from './support/fake-clock.js';
import { CutProxy, Rig, recordingLog, until } from './support/rig.js';

t.test('the life of a flow', async (t) => {
  const { rig, core, shell } = await clientScene(t);
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

t.test('a list looks at the flows of its agent, and at no others', async (t) => {
  const { rig, core, shell } = await clientScene(t);
  const flow = await shell.pair(outer, inner);
  rig.backend.flows.set("another's", snapshot("another's", 'stitched'));
  rig.backend.listed.length = 0;
  for (const agent of [shell, core]) t.match(await agent.list(), [{ id: flow.id }]);
  t.strictSame(rig.backend.listed, [[flow.id], [flow.id]]);
});

t.test('a failure keeps its code, and one of a newer switch its name', async (t) => {
  const { rig, shell } = await clientScene(t);
  rig.backend.failures.set('pair', new SutureError('SUT_FLOW_EXISTS', 'there is one'));
  await t.rejects(shell.pair(outer, inner), { code: 'SUT_FLOW_EXISTS', message: 'there is one' });
  rig.backend.failures.set('pair', new SutureError('SUT_LATER' as 'SUT_LIMIT', 'news'));
  await t.rejects(shell.pair(outer, inner), { code: 'SUT_INTERNAL', message: 'SUT_LATER: news' });
});

t.test('many requests at once, each with its own answer', async (t) => {
  const { rig, shell } = await clientScene(t);
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

t.test('lifetimes are renewed between a half and five eighths', async (t) => {
  for (const [random, least, most] of [
    [0, 300_000, 310_000],
    [0.999, 374_000, 385_000],
  ] as const) {
    const clock = new FakeClock();
    const { rig, shell, core } = await clientScene(
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
  const { rig, shell } = await clientScene(t);
  await shell.pair(outer, inner);
  await shell.stop();
  t.equal(rig.server.counters().sessionsClosed, 1);
  t.equal(rig.server.counters().sessionsLost, 0);
  t.equal(rig.backend.flows.size, 1, 'flows stay until their lifetime ends');
  t.equal(rig.backend.owned.size, 2);
});
