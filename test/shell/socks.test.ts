/** Connections that clients ask for by SOCKS 5, through a shell on loopback. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { RouteConfig } from '../../src/platform/config/index.js';
import type { Endpoint } from '../../src/wire/endpoint.js';
import {
  dial,
  freeEndpoint,
  HOST,
  listen,
  PORTS,
  readAll,
  type SetupOptions,
  setUp,
  startDial,
  until,
} from './support.js';

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s+/g, ''), 'hex');
const NO_LOGIN = hex('05 01 00');
const LOOPBACK = [
  { host: '127.0.0.0/8', ports: { from: 1, to: 65535 } },
  { host: '::1/128', ports: { from: 1, to: 65535 } },
];

function request(host: string | Buffer, port: number, command = 1): Buffer {
  const address =
    typeof host === 'string'
      ? Buffer.concat([Buffer.of(3, host.length), Buffer.from(host)])
      : Buffer.concat([Buffer.of(host.length === 4 ? 1 : 4), host]);
  return Buffer.concat([Buffer.of(5, command, 0), address, Buffer.of(port >> 8, port & 255)]);
}

const IPV4 = Buffer.of(127, 0, 0, 1);
const IPV6 = Buffer.concat([Buffer.alloc(15), Buffer.of(1)]);

/** The next bytes that a socket gives, exactly as many. */
async function read(socket: Socket, length: number): Promise<Buffer> {
  for (;;) {
    const bytes = socket.read(length) as Buffer | null;
    if (bytes) return bytes;
    // 'readable' is emitted again and again while there is something, though not enough.
    await sleep(2);
  }
}

async function scene(t: Test, route: Partial<RouteConfig> = {}, options: Omit<SetupOptions, 'routes'> = {}) {
  const at = await freeEndpoint();
  const accepted: Socket[] = [];
  const [server, far] = await listen((socket) => accepted.push(socket));
  const routes = [{ listen: at, socks5: true as const, allow: LOOPBACK, ...route }];
  const { shell, fake } = await setUp({ ...options, routes });
  t.teardown(async () => {
    await shell.stop(AbortSignal.abort());
    for (const socket of accepted) socket.destroy();
    server.close();
  });
  return { at, far, accepted, shell, fake };
}

/** The whole exchange, and how it ended. */
async function ask(at: Endpoint, ...parts: Buffer[]): Promise<{ data: string; how: string }> {
  const socket = await dial(at);
  const ended = readAll(socket);
  for (const part of parts) {
    socket.write(part);
    await sleep(5);
  }
  const { data, how } = await ended;
  socket.destroy();
  return { data: data.toString('hex'), how };
}

t.test('a request is paired by role, answered, and relayed', async (t) => {
  const { at, far, accepted, shell, fake } = await scene(t);
  const client = await dial(at);
  client.write(NO_LOGIN);
  t.same(await read(client, 2), hex('05 00'));
  client.write(request(IPV4, far.port));
  t.same(await read(client, 10), hex(`05 00 00 01 7f000001 ${PORTS.from.toString(16)}`), 'where it went out');
  const inner = { local: at, remote: { address: HOST, port: client.localPort } };
  const outer = { local: { address: HOST, port: PORTS.from }, remote: far };
  t.same(fake.pairs, [{ id: 'f1', outer, inner, openedBy: 'core' }]);
  client.write('question');
  await until(() => (accepted[0]?.readableLength ?? 0) === 8, 'arrived');
  t.equal(String(accepted[0]?.read()), 'question');
  accepted[0]?.write('answer');
  t.equal(String(await read(client, 6)), 'answer');

  fake.tell('f1', 'relayed');
  await until(() => fake.enabled.length === 1, 'stitch asked for');
  t.same(fake.enabled[0]?.offsets, {
    consumedFromPeer: 0,
    injectedToCore: 12,
    consumedFromCore: 3 + 10,
    injectedToPeer: 0,
  });
  fake.tell('f1', 'stitched');
  await until(() => shell.stats().open === 0, 'let go');
  fake.tell('f1', 'closed', 'fin');
  t.match(shell.stats(), { bytesUp: 6, bytesDown: 8, stitched: 1, heldAtStitch: 0, ports: [{ held: 0 }] });
});

t.test('the whole of it byte by byte, or all at once with what comes behind', async (t) => {
  const { at, far, accepted } = await scene(t);
  const all = Buffer.concat([NO_LOGIN, request(IPV4, far.port), Buffer.from('early')]);
  for (const step of [1, all.length]) {
    accepted.length = 0;
    const client = await dial(at);
    for (let i = 0; i < all.length; i += step) {
      client.write(all.subarray(i, i + step));
      await sleep(1);
    }
    client.end();
    await until(() => accepted.length === 1, 'reached');
    const [server] = accepted as [Socket];
    t.equal(String((await readAll(server)).data), 'early');
    server.end('late');
    const { data, how } = await readAll(client);
    t.equal(how, 'end');
    t.equal(data.subarray(0, 4).toString('hex'), '05000500');
    t.equal(String(data.subarray(12)), 'late');
  }
});

t.test('users and passwords', async (t) => {
  const users = [
    { user: 'one', password: 'first' },
    { user: 'two', password: 'sécond' },
  ];
  const { at, far, shell, fake } = await scene(t, { socks5: { users } });
  const login = (user: string, password: string): Buffer => {
    const bytes = Buffer.from(password);
    return Buffer.concat([Buffer.of(1, user.length), Buffer.from(user), Buffer.of(bytes.length), bytes]);
  };
  const both = hex('05 02 00 02');
  t.same(await ask(at, NO_LOGIN), { data: '05ff', how: 'end' }, 'no way to log in offered');
  for (const [user, password] of [
    ['one', 'sécond'],
    ['one', ''],
    ['', 'first'],
    ['three', 'first'],
    ['one', 'first '],
  ] as const) {
    t.same(await ask(at, both, login(user, password), request(IPV4, far.port)), {
      data: '05020101',
      how: 'end',
    });
  }
  t.equal(shell.stats().greetingFailed, 6);
  t.same(fake.pairs, []);
  const client = await dial(at);
  client.write(Buffer.concat([both, login('two', 'sécond'), request(IPV4, far.port)]));
  t.same(await read(client, 5), hex('0502 0100 05'));
  client.destroy();
});

t.test('what it is refused with', async (t) => {
  const refusing = await freeEndpoint();
  const resolve = async (name: string): Promise<string[]> =>
    name === 'loop.example.org' ? ['127.0.0.1'] : name === 'other.example.org' ? ['192.0.2.1'] : [];
  const { at, far, shell, accepted } = await scene(t, {}, { resolve });
  const reply = (code: string): string => `0500 05${code} 00 01 00000000 0000`.replace(/\s/g, '');
  for (const [what, asked, expected] of [
    ['refused', request(IPV4, refusing.port), reply('05')],
    ['not allowed', request(Buffer.of(192, 0, 2, 1), 80), reply('02')],
    ['a name that is not allowed', request('other.example.org', 80), reply('02')],
    ['a name that there is not', request('none.example.org', 80), reply('04')],
    ['BIND', request(IPV4, far.port, 2), reply('07')],
    ['UDP ASSOCIATE', request(IPV4, far.port, 3), reply('07')],
    ['an unknown command', request(IPV4, far.port, 9), reply('07')],
    ['an unknown kind of address', hex('05 01 00 05 00000000 0050'), reply('08')],
    ['port 0', request(IPV4, 0), reply('01')],
    ['an impossible name', request('a b', 80), reply('01')],
  ] as const) {
    t.same(await ask(at, NO_LOGIN, asked), { data: expected, how: 'end' }, what);
  }
  for (const [what, bytes, expected] of [
    ['SOCKS 4', hex('04 01 0050 7f000001 00'), { data: '', how: 'ECONNRESET' }],
    ['HTTP', Buffer.from('CONNECT x:80 HTTP/1.1\r\n\r\n'), { data: '', how: 'ECONNRESET' }],
    ['only a login', hex('05 01 02'), { data: '05ff', how: 'end' }],
  ] as const) {
    t.same(await ask(at, bytes), expected, what);
  }
  await until(() => shell.stats().open === 0, 'all over');
  t.match(shell.stats(), { notAllowed: 2, peerFailed: 1, coreFailed: 0, relayed: 0 });
  t.equal(accepted.length, 0);
});

t.test('names: what the resolver says, tried one after the other, of the same family first', async (t) => {
  const asked: string[] = [];
  const resolve = async (name: string): Promise<string[]> => {
    asked.push(name);
    return ['::1', '192.0.2.1', '127.0.0.2', '127.0.0.1'];
  };
  const { at, far, shell, fake } = await scene(t, {}, { resolve });
  // 192.0.2.1 is not allowed; nobody listens on ::1 and 127.0.0.2.
  const client = await dial(at);
  client.write(Buffer.concat([NO_LOGIN, request('Many.Example.org', far.port)]));
  t.match(await read(client, 12), { 3: 0 });
  t.same(asked, ['many.example.org']);
  t.same(
    fake.pairs.map(({ outer }) => outer.remote.address),
    ['127.0.0.2', '127.0.0.1'],
  );
  t.equal(shell.stats().peerFailed, 1);
  client.destroy();
});

t.test('a destination of the other family is relayed, not paired', async (t) => {
  const [server, six] = await listen((socket) => socket.end('six'), '::1');
  t.teardown(() => server.close());
  const { at, fake } = await scene(t);
  const { data } = await ask(at, NO_LOGIN, request(IPV6, six.port));
  t.match(data, /^05000500000400+1[0-9a-f]{4}736978$/, 'the reply names an IPv6 end');
  t.same(fake.pairs, []);
});

t.test('who takes too long, or goes away', async (t) => {
  const { at, shell, far } = await scene(t, {}, { greeting: 100 });
  t.match(await ask(at), { data: '', how: 'ECONNRESET' }, 'says nothing');
  t.match(await ask(at, hex('05')), { data: '', how: 'ECONNRESET' });
  t.match(await ask(at, NO_LOGIN), { data: '0500', how: 'ECONNRESET' });
  const half = await dial(at);
  half.end(Buffer.concat([NO_LOGIN, request(IPV4, far.port).subarray(0, 5)]));
  t.match(await readAll(half), { data: hex('0500') });
  const gone = await dial(at);
  gone.write(NO_LOGIN);
  await read(gone, 2);
  gone.resetAndDestroy();
  await until(() => shell.stats().open === 0, 'all over');
  t.equal(shell.stats().greetingFailed, 5);
});

t.test('stop while a client has not said what it wants', async (t) => {
  const { at, shell } = await scene(t, {}, { greeting: 60_000, drain: 50 });
  const client = readAll(await dial(at));
  await until(() => shell.stats().open === 1, 'accepted');
  await shell.stop();
  t.equal((await client).how, 'ECONNRESET');
});

t.test('only from where it is for', async (t) => {
  const { at, shell } = await scene(t, { from: ['192.0.2.0/24'] });
  // The reset may come before the client knows that it is connected.
  t.equal((await readAll(startDial(at))).how, 'ECONNRESET');
  await until(() => shell.stats().open === 0, 'over');
  t.match(shell.stats(), { rejected: 1, greetingFailed: 0 });
  const open = await scene(t, { from: ['192.0.2.0/24', '127.0.0.0/8'] });
  t.match(await ask(open.at, hex('05 01 02')), { data: '05ff' });
});

t.test('a forward to a peer', async (t) => {
  const at = await freeEndpoint();
  const [server, far] = await listen((socket) => socket.end('from the peer'));
  const { shell, fake } = await setUp({ routes: [{ listen: at, peer: far }] });
  t.teardown(async () => {
    await shell.stop(AbortSignal.abort());
    server.close();
  });
  const client = await dial(at);
  const { localPort } = client;
  t.match(await readAll(client), { data: Buffer.from('from the peer'), how: 'end' });
  t.same(fake.pairs, [
    {
      id: 'f1',
      outer: { local: { address: HOST, port: PORTS.from }, remote: far },
      inner: { local: at, remote: { address: HOST, port: localPort } },
      openedBy: 'core',
    },
  ]);
  client.end();
  await until(() => shell.stats().open === 0, 'closed');
  t.match(shell.stats(), { bytesUp: 13, bytesDown: 0 });
});

t.test('a port rests when the shell closed first towards the peer', async (t) => {
  const at = await freeEndpoint();
  const [server, far] = await listen((socket) => {
    // Answers the end with its own.
    void readAll(socket).then(() => socket.end());
  });
  const { shell } = await setUp({ routes: [{ listen: at, peer: far, stitch: { after: { bytes: 1000 } } }] });
  t.teardown(async () => {
    await shell.stop(AbortSignal.abort());
    server.close();
  });
  const client = await dial(at);
  client.resume();
  client.end();
  await until(() => shell.stats().relayed === 1, 'reached');
  await until(() => shell.stats().ports[0]?.held === 0, 'not held');
  t.match(shell.stats().ports, [{ resting: 1 }]);
});
