import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer as createHttp, request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { SutureError } from '../../src/platform/errors.js';
import { silentLog } from '../../src/platform/log.js';
import { AdminClient, findAdminSocket } from '../../src/switch/admin-client.js';
import { flowDetail, flowView } from '../../src/switch/admin-protocol.js';
import { AdminServer } from '../../src/switch/admin-server.js';
import { FakeBackend, RECORDS } from './fake-backend.js';

/** A directory with a path short enough for a Unix socket in it. */
function shortDirectory(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'suture-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function serve(t: Test, path = join(shortDirectory(t), 'sub', 's1.sock')) {
  const backend = new FakeBackend();
  const server = new AdminServer({ path, backend, log: silentLog() });
  await server.start();
  t.teardown(() => server.stop(AbortSignal.abort()));
  return { backend, server, path, client: new AdminClient(path) };
}

/** A socket file whose process is gone without having removed it. */
function leaveDeadSocket(path: string): void {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
}

t.test('flows, agents and stats come over as views', async (t) => {
  const { client, backend } = await serve(t);
  t.strictSame(await client.flows(), RECORDS.map(flowView));
  t.strictSame(
    (await client.flows({ state: 'stitched' })).map(({ id }) => id),
    ['f-2'],
  );
  t.strictSame(
    (await client.flows({ agent: 'a1' })).map(({ id }) => id),
    ['f-1', 'f-3'],
  );
  t.strictSame(await client.agents(), await backend.agents());
  t.strictSame(await client.stats(), await backend.stats());
});

t.test('a view has the shape that is promised', async (t) => {
  const { client } = await serve(t);
  const [, second, third] = await client.flows();
  t.strictSame(second, {
    id: 'f-2',
    state: 'stitched',
    agent: 'a2',
    outer: { local: '[fd00::2]:80', remote: '[fd00::1]:5' },
    inner: { local: '10.201.2.2:20000', remote: '10.201.3.2:8080' },
    up: { packets: 3, bytes: 100 },
    down: { packets: 4, bytes: 1_099_511_627_776 },
    openedAt: '1970-01-01T00:00:01.000Z',
    stitchedAt: '1970-01-01T00:00:02.500Z',
  });
  t.equal(third?.reason, 'tcp-ao');
  t.strictSame((await client.flow('f-2')).history, [
    { state: 'relayed', at: '1970-01-01T00:00:01.000Z' },
    { state: 'stitched', at: '1970-01-01T00:00:02.500Z' },
  ]);
});

t.test('closing, and what is refused', async (t) => {
  const { client, backend } = await serve(t);
  const closed = await client.close('f-1');
  t.match(closed, { state: 'closed', reason: 'released', closedAt: '1970-01-01T00:00:09.000Z' });
  await t.rejects(client.close('f-1'), { code: 'SUT_FLOW_STATE' });
  await t.rejects(client.close('nope'), { code: 'SUT_FLOW_UNKNOWN', message: /"nope"/ });
  await t.rejects(client.flow('a/b?c'), { code: 'SUT_FLOW_UNKNOWN', message: /"a\/b\?c"/ });
  await t.rejects(client.flows({ state: 'sewn' }), {
    code: 'SUT_REQUEST_INVALID',
    message: /expected one of watched/,
  });
  backend.failure = new Error('boom');
  await t.rejects(client.flows(), { code: 'SUT_INTERNAL', message: 'boom' });
  backend.failure = new SutureError('SUT_SHUTTING_DOWN', 'the switch stops');
  await t.rejects(client.flows(), { code: 'SUT_SHUTTING_DOWN' });
});

t.test('unknown paths, methods and encodings get a status and a code', async (t) => {
  const { path } = await serve(t);
  for (const [method, target, status] of [
    ['GET', '/', 400],
    ['DELETE', '/flows/f-1', 400],
    ['POST', '/flows/f-1/open', 400],
    ['GET', '/flows/f-1/close', 400],
    ['GET', '/flows/%E0', 400],
    ['GET', '/flows/none', 404],
    ['GET', '/flows', 200],
  ] as const) {
    const sent = request({ socketPath: path, method, path: target });
    sent.end();
    const [response] = await once(sent, 'response');
    response.resume();
    t.equal(response.statusCode, status, `${method} ${target}`);
  }
});

t.test('watching', async (t) => {
  const { client, backend, server } = await serve(t);
  const watching = client.watch();
  const first = watching.next();
  while (backend.listeners.size === 0) await turn();
  await client.close('f-2');
  t.match((await first).value, { id: 'f-2', state: 'closed' });
  const next = watching.next();
  const record = RECORDS[2];
  if (record) for (const listener of backend.listeners) listener(record);
  t.strictSame((await next).value, record && flowDetail(record));
  const last = watching.next();
  await server.stop();
  t.equal((await last).done, true, 'the stream ends with the switch');
  t.equal(backend.listeners.size, 0);
});

t.test('a watcher can leave', async (t) => {
  const { client, backend } = await serve(t);
  const abort = new AbortController();
  const next = client.watch(abort.signal).next();
  while (backend.listeners.size === 0) await turn();
  abort.abort();
  t.equal((await next).done, true);
  while (backend.listeners.size > 0) await turn();
  t.strictSame((await client.stats()).name, 's1', 'the switch goes on');
});

t.test('a watcher that does not read is dropped', async (t) => {
  const { path, backend } = await serve(t);
  const sent = request({ socketPath: path, path: '/events' });
  sent.end();
  const [response] = await once(sent, 'response');
  response.on('error', () => {});
  const gone = new Promise((resolve) => response.on('close', resolve));
  const record = RECORDS[1];
  for (let i = 0; i < 100_000 && record; i++) for (const listener of backend.listeners) listener(record);
  response.resume();
  await gone;
  t.equal(backend.listeners.size, 0);
});

t.test('the socket is for its owner only, and gone after the stop', async (t) => {
  const { path, server } = await serve(t);
  t.equal(statSync(path).mode & 0o777, 0o600);
  await server.stop();
  t.notOk(existsSync(path));
  await server.stop();
});

t.test('a live socket is respected, a dead one replaced', async (t) => {
  const { path, backend } = await serve(t);
  const second = new AdminServer({ path, backend, log: silentLog() });
  await t.rejects(second.start(), { code: 'SUT_ALREADY_RUNNING', message: path });
  t.ok(existsSync(path));

  const dead = join(shortDirectory(t), 'dead.sock');
  leaveDeadSocket(dead);
  t.ok(existsSync(dead));
  const third = await serve(t, dead);
  t.equal((await third.client.stats()).name, 's1');
});

t.test('a path that can not be used', async (t) => {
  const directory = shortDirectory(t);
  writeFileSync(join(directory, 'file'), 'text');
  const start = (path: string) =>
    new AdminServer({ path, backend: new FakeBackend(), log: silentLog() }).start();
  await t.rejects(start(join(directory, 'file')), { code: 'SUT_CONFIG_INVALID', message: /is no socket/ });
  await t.rejects(start(join(directory, 'file', 'x.sock')), { code: 'SUT_PERMISSION' });
});

t.test('finding the socket', async (t) => {
  const directory = shortDirectory(t);
  await t.rejects(findAdminSocket(undefined, directory), { code: 'SUT_ADMIN_UNREACHABLE' });
  await t.rejects(findAdminSocket(undefined, join(directory, 'none')), { code: 'SUT_ADMIN_UNREACHABLE' });
  t.equal(await findAdminSocket('unix:/x/y.sock'), '/x/y.sock');
  t.equal(await findAdminSocket('/x/y.sock'), '/x/y.sock');
  await t.rejects(findAdminSocket('tcp:1.2.3.4'), { code: 'SUT_USAGE' });

  const one = await serve(t, join(directory, 'one.sock'));
  t.equal(await findAdminSocket(undefined, directory), one.path);
  leaveDeadSocket(join(directory, 'dead.sock'));
  t.equal(await findAdminSocket(undefined, directory), one.path, 'what a killed one left does not count');
  await serve(t, join(directory, 'two.sock'));
  await t.rejects(findAdminSocket(undefined, directory), {
    code: 'SUT_USAGE',
    message: /one\.sock, unix:.*two\.sock/,
  });
});

t.test('nobody there, or somebody else', async (t) => {
  const directory = shortDirectory(t);
  await t.rejects(new AdminClient(join(directory, 'none.sock')).stats(), { code: 'SUT_ADMIN_UNREACHABLE' });
  const talkers = {
    html: createHttp((_, response) => response.end('<html>')),
    odd: createHttp((_, response) => response.writeHead(500).end('{}')),
    newer: createHttp((_, response) =>
      response.writeHead(500).end('{"error":{"code":"SUT_NEW","message":"m"}}'),
    ),
    mute: createServer((socket) => socket.end()),
  };
  for (const [name, server] of Object.entries(talkers)) {
    server.listen(join(directory, name));
    t.teardown(() => server.close());
    await once(server, 'listening');
  }
  const ask = (name: string) => new AdminClient(join(directory, name)).stats();
  await t.rejects(ask('html'), { code: 'SUT_ADMIN_PROTOCOL', message: /does not speak/ });
  await t.rejects(ask('odd'), { code: 'SUT_ADMIN_PROTOCOL', message: /status 500/ });
  await t.rejects(ask('newer'), { code: 'SUT_ADMIN_PROTOCOL', message: 'm' });
  await t.rejects(ask('mute'), { code: 'SUT_ADMIN_UNREACHABLE' });
});
