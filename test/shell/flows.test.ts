/** What becomes of a connection's flow and of its port: stitched, refused, broken, closed, or without one. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { SutureError } from '../../src/platform/errors.js';
import { bench, dial, freeEndpoint, HOST, held, opened, PORTS, readAll, setUp, until } from './support.js';

t.test('what is watched: listening endpoints and the reserved ports, each once', async (t) => {
  const [one, two, three] = [await freeEndpoint(), await freeEndpoint(), await freeEndpoint()];
  const core = await freeEndpoint();
  const { shell, fake } = await setUp({
    routes: [
      { listen: one, core },
      { listen: two, core },
      { listen: three, core, stitch: 'never' },
    ],
  });
  t.teardown(() => shell.stop(AbortSignal.abort()));
  t.same(fake.reservation, {
    watch: [
      { address: HOST, from: one.port, to: one.port },
      { address: HOST, ...PORTS },
      { address: HOST, from: two.port, to: two.port },
    ],
    offers: [],
  });
});

t.test('the pair is answered before the core sees a connection', async (t) => {
  const b = await bench();
  t.teardown(() => b.close());
  let answer = (): void => {};
  b.fake.onPair = () => new Promise<void>((resolve) => (answer = resolve));
  const peer = await dial(b.listen);
  await until(() => b.fake.pairs.length === 1, 'asked');
  await sleep(100);
  t.equal(b.accepted.length, 0, 'no inner connection yet');
  answer();
  await until(() => b.accepted.length === 1, 'reached');
  const [pair] = b.fake.pairs;
  const core = b.accepted[0];
  t.same(pair?.outer, { local: b.listen, remote: { address: HOST, port: peer.localPort } });
  t.same(pair?.inner.local, { address: HOST, port: PORTS.from });
  t.same(pair?.inner.remote, { address: core?.localAddress, port: core?.localPort });
  t.equal(core?.remotePort, PORTS.from, 'it comes from the port that was named');
});

t.test('a stitched flow: both sockets are reset, the port is held until it is closed', async (t) => {
  const b = await bench();
  t.teardown(() => b.close());
  const { peer, core } = await b.open();
  await sleep(100);
  t.same(b.fake.enabled, [], 'not asked for before both handshakes were seen');
  b.fake.tell('f1', 'relayed');
  await until(() => b.fake.enabled.length === 1, 'asked for at once');
  t.match(b.fake.enabled[0], {
    id: 'f1',
    teardown: 'core',
    offsets: { consumedFromPeer: 0, injectedToPeer: 0 },
  });
  const atPeer = readAll(peer);
  const atCore = readAll(core);
  peer.write('up');
  core.write('down');
  await until(() => peer.bytesRead === 4 && core.bytesRead === 2, 'relayed');
  b.fake.tell('f1', 'cutting');
  await sleep(20);
  t.equal(b.shell.stats().open, 1, 'still relaying what it has');
  b.fake.tell('f1', 'stitched');
  t.equal((await atPeer).how, 'ECONNRESET', 'which a switch would swallow');
  t.equal((await atCore).how, 'ECONNRESET');
  await until(() => b.shell.stats().open === 0, 'sockets closed');
  t.equal(held(b), 1);
  b.fake.tell('f1', 'closing');
  t.equal(held(b), 1);
  b.fake.tell('f1', 'closed', 'fin');
  t.match(b.shell.stats(), { stitched: 1, heldAtStitch: 0, flows: 0, ports: [{ held: 0, resting: 0 }] });
  t.same(b.fake.released, [], 'nothing was left to release');
});

t.test('a refused flow goes on relayed, and its port is free when it has ended', async (t) => {
  const b = await bench();
  t.teardown(() => b.close());
  const { peer, core } = await opened(b);
  await until(() => b.fake.enabled.length === 1, 'asked');
  b.fake.tell('f1', 'refused', 'timestamps-differ');
  const atCore = readAll(core);
  const atPeer = readAll(peer);
  core.end('answer');
  t.match(await atPeer, { data: Buffer.from('answer'), how: 'end' });
  t.equal(held(b), 1);
  peer.end('question');
  t.match(await atCore, { data: Buffer.from('question'), how: 'end' });
  await until(() => held(b) === 0, 'port given back');
  t.match(b.shell.stats(), { refused: 1, stitched: 0, flows: 0, ports: [{ resting: 0 }] });
  t.same(b.fake.released, ['f1']);
  t.equal(b.fake.enabled.length, 1, 'not asked again');
});

t.test('a port rests when the shell closed first towards the core', async (t) => {
  const b = await bench({ stitch: { after: { bytes: 1000 } } });
  t.teardown(() => b.close());
  const { peer, core } = await opened(b);
  const atCore = readAll(core);
  peer.resume();
  peer.end();
  t.equal((await atCore).how, 'end');
  core.end();
  await until(() => held(b) === 0, 'not held');
  t.match(b.shell.stats().ports, [{ resting: 1 }], 'in TIME-WAIT for a minute');
});

t.test('a broken flow: both sockets are reset', async (t) => {
  const b = await bench();
  t.teardown(() => b.close());
  const { peer, core } = await opened(b);
  const ends = [readAll(peer), readAll(core)];
  b.fake.tell('f1', 'cutting');
  b.fake.tell('f1', 'broken', 'drain-timeout');
  t.same(
    (await Promise.all(ends)).map(({ how }) => how),
    ['ECONNRESET', 'ECONNRESET'],
  );
  await until(() => held(b) === 0, 'port given back');
  t.equal(b.shell.stats().broken, 1);
});

t.test('closed in the middle of the cut: the sockets would never hear of it', async (t) => {
  const b = await bench();
  t.teardown(() => b.close());
  const { peer, core } = await opened(b);
  const ends = [readAll(peer), readAll(core)];
  b.fake.tell('f1', 'cutting');
  b.fake.tell('f1', 'closed', 'reset-by-peer');
  t.same(
    (await Promise.all(ends)).map(({ how }) => how),
    ['ECONNRESET', 'ECONNRESET'],
  );
  await until(() => held(b) === 0, 'port given back');
});

t.test('closed while relayed: the relay finishes, then the port is free', async (t) => {
  const b = await bench({ stitch: { after: { age: 60_000 } } });
  t.teardown(() => b.close());
  const { peer, core } = await opened(b);
  b.fake.tell('f1', 'closed', 'released');
  const atPeer = readAll(peer);
  core.end('still here');
  t.match(await atPeer, { data: Buffer.from('still here'), how: 'end' });
  t.equal(held(b), 1);
  core.resume();
  peer.end();
  await until(() => held(b) === 0, 'port given back');
  t.same(b.fake.released, [], 'it was over already');
});

t.test('a pair that fails or takes too long costs the stitch, not the connection', async (t) => {
  const b = await bench();
  t.teardown(() => b.close());
  b.fake.onPair = () => Promise.reject(new SutureError('SUT_NOT_OFFERED', 'no core offers it'));
  await b.open();
  t.equal(held(b), 0);
  let late = (): void => {};
  b.fake.onPair = () => new Promise<void>((resolve) => (late = resolve));
  const { core } = await b.open();
  t.ok((core.remotePort ?? 0) > PORTS.to, 'it came from a port of the kernel');
  t.equal(held(b), 1, 'the port may have a flow by now');
  late();
  await until(() => b.fake.released.length === 1, 'the late flow is given up');
  await until(() => held(b) === 0, 'the port is not held');
  t.match(b.shell.stats(), { notPaired: 2, relayed: 2, flows: 0 });
});

t.test('a port that somebody has is left out', async (t) => {
  const squatter = createServer().listen(PORTS.from, HOST);
  await once(squatter, 'listening');
  t.teardown(() => squatter.close());
  const b = await bench();
  t.teardown(() => b.close());
  b.fake.onPair = ({ inner }) => {
    if (inner.local.port === PORTS.from + 1) throw new SutureError('SUT_FLOW_EXISTS', 'an older flow has it');
  };
  const { core } = await b.open();
  t.equal(core.remotePort, PORTS.from + 2);
  await until(() => b.fake.released.length === 1, 'the flow of the busy port is given up');
  t.match(b.shell.stats(), { portsBusy: 2, relayed: 1, ports: [{ held: 1, resting: 2 }] });
});

t.test('a port with a connection to the same core is left out', async (t) => {
  const b = await bench();
  t.teardown(() => b.close());
  const core = b.core;
  const direct = connect({ host: core.address, port: core.port, localAddress: HOST, localPort: PORTS.from });
  t.teardown(() => direct.destroy());
  await once(direct, 'connect');
  await until(() => b.accepted.length === 1, 'accepted');
  const { core: reached } = await b.open();
  t.equal(reached.remotePort, PORTS.from + 1);
  t.equal(b.shell.stats().portsBusy, 1);
});

t.test('no reserved port free: relayed from a port of the kernel, never stitched', async (t) => {
  const b = await bench({}, { ports: { from: PORTS.from, to: PORTS.from } });
  t.teardown(() => b.close());
  const first = await opened(b);
  t.equal(first.core.remotePort, PORTS.from);
  const { core } = await b.open();
  t.ok((core.remotePort ?? 0) > PORTS.to);
  t.match(b.shell.stats(), { portsExhausted: 1, relayed: 2, flows: 1 });
  first.core.resetAndDestroy();
  await until(() => held(b) === 0, 'given back');
  t.equal((await b.open()).core.remotePort, PORTS.from);
});

t.test('a stitch that is refused for the moment is asked for again', async (t) => {
  const b = await bench();
  t.teardown(() => b.close());
  b.fake.onEnable = () => Promise.reject(new SutureError('SUT_LIMIT', 'too many at once'));
  await opened(b);
  await until(() => b.fake.enabled.length === 1, 'asked');
  b.fake.onEnable = () => {};
  await until(() => b.fake.enabled.length === 2, 'asked again');
  b.fake.tell('f1', 'stitched');
  t.match(b.shell.stats(), { stitchAsked: 2, stitched: 1 });
});

t.test('1,000 short connections leave no port behind', async (t) => {
  const b = await bench(
    { stitch: { after: { age: 60_000 } } },
    { ports: { from: PORTS.from, to: PORTS.from + 19 } },
  );
  t.teardown(() => b.close());
  let done = 0;
  const worker = async (): Promise<void> => {
    while (done < 1000) {
      done += 1;
      const peer = await dial(b.listen);
      peer.write('x');
      await until(() => peer.destroyed || peer.bytesRead > 0, 'answered');
      peer.resetAndDestroy();
    }
  };
  const answer = setInterval(() => {
    for (const socket of b.accepted.splice(0)) socket.end('y');
  }, 1);
  t.teardown(() => clearInterval(answer));
  await Promise.all(Array.from({ length: 10 }, worker));
  await until(() => b.shell.stats().open === 0, 'all ended');
  await until(() => held(b) === 0, 'all ports given back');
  t.match(b.shell.stats(), { accepted: 1000, flows: 0, portsExhausted: 0 });
  t.equal(b.fake.flows.size, 0, 'nor a flow in the switch');
});

t.test(
  'a FIN that the switch asks about may go on; an answer that comes too late is no trouble',
  async (t) => {
    const b = await bench();
    t.teardown(() => b.close());
    await b.open();
    b.fake.tell('f1', 'relayed');
    await until(() => b.fake.enabled.length === 1, 'asked for');
    b.fake.tell('f1', 'stitched');
    const flow = b.fake.flows.get('f1');
    if (!flow) throw new Error('no flow f1');
    b.fake.tellEvent({ kind: 'fin', flow, from: 'peer' });
    t.same(b.fake.proceeded, [], 'nobody waits for an answer');
    b.fake.tellEvent({ kind: 'fin', flow, from: 'peer', held: true, answerExpected: true });
    b.fake.onProceed = () => Promise.reject(new SutureError('SUT_FLOW_UNKNOWN', 'gone'));
    b.fake.tellEvent({ kind: 'fin', flow, from: 'core', held: true, answerExpected: true });
    t.same(b.fake.proceeded, ['f1 peer', 'f1 core']);
  },
);
