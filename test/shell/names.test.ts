/** Routes that share a listener, told apart by the first bytes of a connection. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { RouteConfig } from '../../src/platform/config/index.js';
import type { Endpoint } from '../../src/wire/endpoint.js';
import { helloMessage, inRecords, serverName, VERSIONS } from './names/hello.js';
import {
  dial,
  freeEndpoint,
  listen,
  readAll,
  type SetupOptions,
  setUp,
  startDial,
  until,
} from './support.js';

const hello = (name?: string): Buffer =>
  inRecords(helloMessage({ extensions: name === undefined ? [VERSIONS] : [VERSIONS, serverName(name)] }));
const get = (host: string): Buffer => Buffer.from(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);

interface Core {
  readonly at: Endpoint;
  readonly sockets: Socket[];
}

/** A listener whose routes lead to a core of their own each; the last one, if asked for, takes the rest. */
async function scene(
  t: Test,
  matches: readonly RouteConfig['match'][],
  options: Omit<SetupOptions, 'routes'> = {},
  more: Partial<RouteConfig> = {},
) {
  const at = await freeEndpoint();
  const cores: Core[] = [];
  const closers: (() => void)[] = [];
  const routes = [];
  for (const match of matches) {
    const sockets: Socket[] = [];
    const [server, core] = await listen((socket) => sockets.push(socket));
    cores.push({ at: core, sockets });
    closers.push(() => server.close());
    routes.push({ listen: at, core, ...(match && { match }), ...more });
  }
  const { shell, fake } = await setUp({ greeting: 300, ...options, routes });
  t.teardown(async () => {
    await shell.stop(AbortSignal.abort());
    for (const { sockets } of cores) for (const socket of sockets) socket.destroy();
    for (const close of closers) close();
  });
  const reached = (): number => cores.findIndex(({ sockets }) => sockets.length > 0);
  /** Sends this; which core it reached, and what that got. */
  async function send(
    bytes: Buffer,
    step = bytes.length,
  ): Promise<{ core: number; got: string | undefined }> {
    for (const { sockets } of cores) sockets.length = 0;
    const peer = startDial(at);
    const ended = readAll(peer);
    await once(peer, 'connect');
    for (let i = 0; i < bytes.length; i += step) {
      peer.write(bytes.subarray(i, i + step));
      if (step < bytes.length) await sleep(1);
    }
    await Promise.race([until(() => reached() >= 0, 'a core'), ended]);
    const core = reached();
    const socket = cores[core]?.sockets[0];
    if (!socket) return { core, got: undefined };
    peer.end();
    const { data } = await readAll(socket);
    socket.end();
    return { core, got: data.toString('latin1') };
  }
  return { at, cores, shell, fake, send };
}

const MATCHES = [
  { sni: ['one.example.org', '*.wide.example.org'] },
  { sni: ['two.example.org'], host: ['one.example.org'] },
  { host: ['*.example.org'] },
  undefined,
];

t.test('each name reaches its own core, with every byte that was sent', async (t) => {
  const { send, shell, fake } = await scene(t, MATCHES);
  for (const [bytes, core] of [
    [hello('one.example.org'), 0],
    [hello('a.b.wide.example.org'), 0],
    [hello('TWO.example.org'), 1],
    [hello('three.example.org'), 3],
    [hello(), 3],
    [get('one.example.org:80'), 1],
    [get('two.example.org'), 2],
    [get('other.org'), 3],
    [Buffer.from('SSH-2.0-x\r\n'), 3],
    [Buffer.of(0, 1, 2, 3), 3],
    [Buffer.concat([hello('two.example.org'), Buffer.from('and more')]), 1],
  ] as const) {
    t.same(await send(bytes), { core, got: bytes.toString('latin1') });
  }
  await until(() => shell.stats().open === 0, 'all over');
  t.match(shell.stats(), { unmatched: 0, greetingFailed: 0 });
  t.equal(fake.pairs.length, 11, 'each was paired with its core');
});

t.test('in small pieces', async (t) => {
  const { send } = await scene(t, MATCHES, { greeting: 5_000 });
  for (const bytes of [hello('two.example.org'), get('one.example.org')]) {
    t.same(await send(bytes, 1), { core: 1, got: bytes.toString('latin1') });
  }
});

t.test('nothing is consumed, and the stitch is asked for with that', async (t) => {
  const { at, cores, fake } = await scene(t, MATCHES, {}, { prepend: 'proxy-v2' });
  const peer = await dial(at);
  peer.write(hello('one.example.org'));
  await until(() => cores[0]?.sockets.length === 1, 'reached');
  fake.tell('f1', 'relayed');
  await until(() => fake.enabled.length === 1, 'asked');
  t.match(fake.enabled[0]?.offsets, { consumedFromPeer: 0, injectedToCore: 28, injectedToPeer: 0 });
  peer.destroy();
});

t.test('who says nothing, not all of it, or too much goes to the rest', async (t) => {
  const { send } = await scene(t, MATCHES);
  t.same(await send(Buffer.alloc(0)), { core: 3, got: '' }, 'a server that speaks first');
  const half = hello('one.example.org').subarray(0, 40);
  t.same(await send(half), { core: 3, got: half.toString('latin1') });
  const endless = Buffer.from(`GET / HTTP/1.1\r\nX: ${'y'.repeat(10_000)}`);
  t.same(await send(endless), { core: 3, got: endless.toString('latin1') });
});

t.test('who ends before its name is complete goes to the rest as well', async (t) => {
  const { at, cores, shell } = await scene(t, MATCHES, { greeting: 60_000 });
  const peer = await dial(at);
  peer.end(get('one.example.org').subarray(0, 20));
  await until(() => cores[3]?.sockets.length === 1, 'reached');
  const [core] = cores[3]?.sockets ?? [];
  t.same(await readAll(core as Socket), { data: get('one.example.org').subarray(0, 20), how: 'end' });
  core?.end('answer');
  t.match(await readAll(peer), { data: Buffer.from('answer'), how: 'end' });
  await until(() => shell.stats().open === 0, 'over');
});

t.test('without a rest they are reset', async (t) => {
  const { at, shell, fake } = await scene(t, MATCHES.slice(0, 2));
  for (const bytes of [hello('three.example.org'), hello(), get('x.org'), Buffer.of(1), Buffer.alloc(0)]) {
    const peer = await dial(at);
    if (bytes.length > 0) peer.write(bytes);
    t.equal((await readAll(peer)).how, 'ECONNRESET');
  }
  await until(() => shell.stats().open === 0, 'over');
  t.match(shell.stats(), { unmatched: 5, relayed: 0 });
  t.same(fake.pairs, []);
});

t.test('who resets in the middle of its hello', async (t) => {
  const { at, shell } = await scene(t, MATCHES, { greeting: 60_000 });
  const peer = await dial(at);
  peer.write(hello('one.example.org').subarray(0, 40));
  await sleep(20);
  peer.resetAndDestroy();
  await until(() => shell.stats().open === 0, 'over');
  t.match(shell.stats(), { greetingFailed: 1, relayed: 0 });
});

t.test('a route that is not for everybody', async (t) => {
  const { send } = await scene(t, [{ sni: ['one.example.org'] }, undefined], {}, { from: ['192.0.2.1/32'] });
  t.match(await send(hello('one.example.org')), { core: -1 });
  t.match(await send(hello('two.example.org')), { core: -1 });
});
