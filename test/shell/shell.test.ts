import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { bench, dial, freeEndpoint, HOST, listen, PORTS, readAll, setUp, until } from './support.js';

t.test('several routes, each to its own core', async (t) => {
  const [one, coreOne] = await listen((socket) => socket.end('one'));
  const [two, coreTwo] = await listen((socket) => socket.end('two'));
  const [listenOne, listenTwo] = [await freeEndpoint(), await freeEndpoint()];
  const { shell, fake } = await setUp({
    routes: [
      { listen: listenOne, core: coreOne },
      { listen: listenTwo, core: coreTwo },
    ],
  });
  t.teardown(async () => {
    await shell.stop(AbortSignal.abort());
    one.close();
    two.close();
  });
  t.match(await readAll(await dial(listenTwo)), { data: Buffer.from('two') });
  t.match(await readAll(await dial(listenOne)), { data: Buffer.from('one') });
  t.same(
    fake.pairs.map(({ outer, inner }) => [outer.local, inner.remote, inner.local.port]),
    [
      [listenTwo, coreTwo, PORTS.from],
      [listenOne, coreOne, PORTS.from + 1],
    ],
    'one range of ports for all routes of an address',
  );
});

t.test('IPv6', async (t) => {
  const b = await bench({ listen: { address: '::1', port: 1 } });
  t.teardown(() => b.close());
  const { peer, core } = await b.open();
  const [pair] = b.fake.pairs;
  t.same(pair?.outer, { local: b.listen, remote: { address: '::1', port: peer.localPort } });
  t.same(pair?.inner.local, { address: '::1', port: PORTS.from });
  core.end('six');
  t.match(await readAll(peer), { data: Buffer.from('six'), how: 'end' });
});

t.test('IPv6 outside and IPv4 inside: relayed, never paired', async (t) => {
  const [server, core] = await listen((socket) => socket.end('mixed'));
  const at = await freeEndpoint('::1');
  const { shell, fake } = await setUp({ routes: [{ listen: at, core }] });
  t.teardown(async () => {
    await shell.stop(AbortSignal.abort());
    server.close();
  });
  t.match(await readAll(await dial(at)), { data: Buffer.from('mixed'), how: 'end' });
  t.same([fake.pairs, fake.reservation.watch], [[], []]);
});

t.test('a listening address that is taken, or not of this host', async (t) => {
  const [server, taken] = await listen(() => {});
  t.teardown(() => server.close());
  const core = await freeEndpoint();
  await t.rejects(setUp({ routes: [{ listen: taken, core }] }), {
    code: 'SUT_ALREADY_RUNNING',
    message: new RegExp(`${HOST}:${taken.port} \\(EADDRINUSE\\)`),
  });
  await t.rejects(setUp({ routes: [{ listen: { address: '192.0.2.1', port: 8080 }, core }] }), {
    code: 'SUT_CONFIG_INVALID',
  });
});

t.test('a failed start leaves no listener behind', async (t) => {
  const [server, taken] = await listen(() => {});
  const core = await freeEndpoint();
  const free = await freeEndpoint();
  const routes = [
    { listen: free, core },
    { listen: taken, core },
  ];
  await t.rejects(setUp({ routes }));
  server.close();
  await once(server, 'close');
  const { shell } = await setUp({ routes });
  await shell.stop();
});

t.test('stop: no new connections, relayed ones may end, stitched ones are left alone', async (t) => {
  const b = await bench({ stitch: { after: { age: 60_000 } } });
  t.teardown(() => b.close());
  const { peer, core } = await b.open();
  await b.open();
  b.fake.tell('f2', 'stitched');
  await until(() => b.shell.stats().open === 1, 'stitched');
  let stopped = false;
  const stop = b.shell.stop().then(() => {
    stopped = true;
  });
  await t.rejects(dial(b.listen), { code: 'ECONNREFUSED' });
  await sleep(50);
  t.equal(stopped, false);
  const atPeer = readAll(peer);
  core.end('last');
  t.match(await atPeer, { data: Buffer.from('last'), how: 'end' });
  core.resume();
  peer.end();
  await stop;
  t.same(b.fake.released, ['f1'], 'the stitched flow goes on');
  t.equal(b.fake.stopped, 1);
});

t.test('stop resets what has not ended in time', async (t) => {
  const b = await bench({}, { drain: 100 });
  t.teardown(() => b.close());
  const { peer, core } = await b.open();
  const ends = [readAll(peer), readAll(core)];
  await b.shell.stop();
  t.same(
    (await Promise.all(ends)).map(({ how }) => how),
    ['ECONNRESET', 'ECONNRESET'],
  );
  t.match(b.shell.stats(), { open: 0, flows: 0 });
});

for (const how of ['a second stop', 'an aborted signal'] as const) {
  t.test(`${how} ends a drain at once`, async (t) => {
    const b = await bench({}, { drain: 3_600_000 });
    t.teardown(() => b.close());
    const { peer } = await b.open();
    const atPeer = readAll(peer);
    const hurry = new AbortController();
    const stopped = b.shell.stop(hurry.signal);
    await sleep(20);
    if (how === 'a second stop') void b.shell.stop();
    else hurry.abort();
    await stopped;
    t.equal((await atPeer).how, 'ECONNRESET');
  });
}

t.test('stop while a core is being reached', async (t) => {
  const b = await bench({}, { drain: 50 });
  t.teardown(() => b.close());
  let answer = (): void => {};
  b.fake.onPair = () => new Promise<void>((resolve) => (answer = resolve));
  const atPeer = readAll(await dial(b.listen));
  await until(() => b.fake.pairs.length === 1, 'asked');
  const stopped = b.shell.stop();
  t.equal((await atPeer).how, 'ECONNRESET');
  answer();
  await stopped;
  t.equal(b.accepted.length, 0, 'the core was not bothered any more');
  t.same(b.fake.released, ['f1']);
});
