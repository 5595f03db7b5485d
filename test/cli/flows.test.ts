import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { silentLog } from '../../src/platform/log.js';
import { flowDetail, flowView } from '../../src/switch/admin-protocol.js';
import { AdminServer } from '../../src/switch/admin-server.js';
import { flowRecord } from '../contract/table.js';
import { type Setting, suture } from './context.js';
import { FakeBackend, RECORDS } from './fake-backend.js';

async function running(
  t: Test,
): Promise<{ backend: FakeBackend; setting: Setting; server: AdminServer; path: string }> {
  const adminDirectory = mkdtempSync(join(tmpdir(), 'suture-'));
  const path = join(adminDirectory, 's1.sock');
  const backend = new FakeBackend();
  const server = new AdminServer({ path, backend, log: silentLog() });
  await server.start();
  t.teardown(async () => {
    await server.stop(AbortSignal.abort());
    rmSync(adminDirectory, { recursive: true, force: true });
  });
  return { backend, setting: { adminDirectory, signals: new EventEmitter() }, server, path };
}

t.test('flows, with and without `list`', async (t) => {
  const { setting, path } = await running(t);
  const views = RECORDS.map(flowView);
  t.strictSame((await suture(['flows', '--json'], setting)).json, views);
  t.strictSame((await suture(['flows', 'list', '--json'], setting)).json, views);
  t.strictSame((await suture(['flows', '--json', '--admin', `unix:${path}`])).json, views);
  t.strictSame((await suture(['flows', '--state', 'stitched', '--json'], setting)).json, [views[1]]);
  t.strictSame((await suture(['flows', 'list', '--agent', 'a1', '--json'], setting)).json, [
    views[0],
    views[2],
  ]);
});

t.test('flows for people', async (t) => {
  const { setting, backend } = await running(t);
  t.equal(
    (await suture(['flows', '--agent', 'a1', '--state', 'refused'], setting)).out
      .split('\n')[1]
      ?.replace(/ +/g, ' '),
    'f-3 refused (tcp-ao) a1 10.201.1.2:40000 10.201.2.2:8080 10.201.2.2:20000 10.201.3.2:8080 100 B 1.0 TiB 20455 d 3 h',
  );
  const [head, first] = (await suture(['flows'], setting)).out.split('\n');
  t.match(head, /^ID +STATE +AGENT +PEER +SHELL +FROM +CORE +UP +DOWN +AGE$/);
  t.match(first, / 1 m 0 s$/, 'the age of a flow');
  t.equal(head?.length, first?.length, 'numbers end with their column');
  backend.records.clear();
  t.equal((await suture(['flows'], setting)).out, 'no flows\n');
  t.strictSame((await suture(['flows', '--json'], setting)).json, []);
});

t.test('one flow', async (t) => {
  const { setting } = await running(t);
  const [, second] = RECORDS;
  t.strictSame(
    (await suture(['flows', 'show', 'f-2', '--json'], setting)).json,
    second && flowDetail(second),
  );
  const { out } = await suture(['flows', 'show', 'f-2'], setting);
  t.match(out, /^outer +\[fd00::1\]:5 → \[fd00::2\]:80$/m);
  t.match(out, /^down +1,099,511,627,776 bytes in 4 packets$/m);
  t.match(out, /^stitched +1970-01-01T00:00:02.500Z +1,500 ms$/m);
  const none = await suture(['flows', 'show', 'f-9', '--json'], setting);
  t.equal(none.code, 1);
  t.match(none.json, { error: { code: 'SUT_FLOW_UNKNOWN' } });
});

t.test('one that the core opened, and why it was stitched', async (t) => {
  const { setting, backend } = await running(t);
  backend.records.set(
    'f-4',
    flowRecord('f-4', {
      openedBy: 'core',
      stitchCause: ['shellLoad>=0.5', 'age>=5s'],
      teardown: 'control',
    }),
  );
  const { out } = await suture(['flows', 'show', 'f-4'], setting);
  t.match(out, /^outer +10\.201\.1\.2:40000 ← 10\.201\.2\.2:8080$/m);
  t.match(out, /^inner +10\.201\.2\.2:20000 ← 10\.201\.3\.2:8080$/m);
  t.match(out, /^teardown +control$/m);
  t.match(out, /^because +shellLoad>=0\.5, age>=5s$/m);
  t.match((await suture(['flows', 'show', 'f-4', '--json'], setting)).json, {
    openedBy: 'core',
    stitchCause: ['shellLoad>=0.5', 'age>=5s'],
    teardown: 'control',
  });
  t.notMatch((await suture(['flows', 'show', 'f-2'], setting)).out, 'because');
});

t.test('closing one', async (t) => {
  const { setting } = await running(t);
  t.equal((await suture(['flows', 'close', 'f-1'], setting)).out, 'f-1 is closed (released)\n');
  t.match((await suture(['flows', 'close', 'f-2', '--json'], setting)).json, { id: 'f-2', state: 'closed' });
  const again = await suture(['flows', 'close', 'f-1'], setting);
  t.equal(again.code, 1);
  t.match(again.err, 'SUT_FLOW_STATE');
});

t.test('watching until Ctrl-C, or until the switch stops', async (t) => {
  const { setting, backend, server } = await running(t);
  const onOutput = (): void => void setting.signals?.emit('SIGINT', 'SIGINT');
  const watching = suture(['flows', 'watch'], { ...setting, onOutput });
  while (backend.listeners.size === 0) await turn();
  await suture(['flows', 'close', 'f-1'], setting);
  const { code, out } = await watching;
  t.equal(code, 0);
  t.match(
    out,
    /^\S+ {2}f-1 {2}closed \(released\) +10\.201\.1\.2:40000 → 10\.201\.3\.2:8080 {2}up 100 B, down 1\.0 TiB\n$/,
  );
  t.equal(setting.signals?.listenerCount('SIGINT'), 0);

  const second = suture(['flows', 'watch', '--json'], setting);
  while (backend.listeners.size === 0) await turn();
  await suture(['flows', 'close', 'f-2'], setting);
  await server.stop();
  const ended = await second;
  t.equal(ended.code, 0);
  t.match(ended.json, { id: 'f-2', state: 'closed' });
});

t.test('asking a shell to move its connections off their links', async (t) => {
  const { setting, backend } = await running(t);
  const asked = await suture(['agents', 'move', 'a1', '--peer', '10.201.1.2:4000'], setting);
  t.equal(asked.code, 0);
  t.match(asked.out, 'a1 was asked to move those of 10.201.1.2:4000 (it reported 3 in all)');
  t.match((await suture(['agents', 'move', 'a1', '--json'], setting)).json, { name: 'a1' });
  t.strictSame(backend.moves, [
    ['a1', '10.201.1.2:4000'],
    ['a1', undefined],
  ]);
  const unknown = await suture(['agents', 'move', 'nobody', '--json'], setting);
  t.match([unknown.code, unknown.json], [1, { error: { code: 'SUT_REQUEST_INVALID' } }]);
});

t.test('agents and stats', async (t) => {
  const { setting, backend } = await running(t);
  t.strictSame((await suture(['agents', '--json'], setting)).json, await backend.agents());
  const agents = (await suture(['agents'], setting)).out;
  t.match(
    agents,
    /^a1 +shell +connected +10\.201\.2\.2:51000 .* 2 +10\.201\.2\.2, fd00:201:2::2 +10\.201\.2\.2:8080,/m,
  );
  t.match(agents, /^a1 .* 10\.201\.3\.2:57628 up, 3 on it; 10\.201\.3\.3:57628 down, 0 on it$/m);
  t.match(agents, /^b1 +core +away +- +- +0 +10\.201\.3\.2 +- +-$/m);
  t.strictSame((await suture(['stats', '--json'], setting)).json, await backend.stats());
  const stats = (await suture(['stats'], setting)).out;
  t.match(stats, /^data path +userspace on to-e, to-a$/m);
  t.match(stats, /^up +1 m 0 s, since/m);
  t.match(stats, /^table +redis, group g: degraded \(out-of-memory\)$/m);
  t.match(stats, /^flows +1 relayed, 1 stitched, 1 refused$/m);
  t.match(stats, /^received +1,234,567$/m);
});

t.test('no switch is running', async (t) => {
  for (const argv of [['flows'], ['flows', 'watch'], ['agents'], ['stats']]) {
    const { code, json, err } = await suture([...argv, '--json']);
    t.equal(code, 1);
    t.match(json, { error: { code: 'SUT_ADMIN_UNREACHABLE', message: /no switch runs on this host/ } });
    t.match(err, 'SUT_ADMIN_UNREACHABLE');
  }
});
