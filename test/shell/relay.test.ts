import { spawn } from 'node:child_process';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { bench, freeEndpoint, readAll, setUp, startDial, until } from './support.js';

const NEVER = { stitch: 'never' } as const;

/** Writes random bytes in random pieces, minding back-pressure; gives their hash. */
async function writeRandom(socket: Socket, total: number): Promise<string> {
  const hash = createHash('sha256');
  for (let left = total; left > 0; ) {
    const piece = randomBytes(Math.min(left, randomInt(1, 200_000)));
    hash.update(piece);
    left -= piece.length;
    if (!socket.write(piece)) await once(socket, 'drain');
  }
  return hash.digest('hex');
}

/** Reads with a pause now and then, so that the relay is held back. */
function hashSlowly(socket: Socket): Promise<{ hash: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
    if (randomInt(20) === 0) {
      socket.pause();
      setTimeout(() => socket.resume(), randomInt(5));
    }
  });
  return once(socket, 'end').then(() => ({ hash: hash.digest('hex'), bytes }));
}

t.test('bytes arrive as they were sent, both ways at once, with slow readers', async (t) => {
  const b = await bench(NEVER);
  t.teardown(() => b.close());
  const size = 30_000_000;
  const { peer, core } = await b.open();
  const atCore = hashSlowly(core);
  const atPeer = hashSlowly(peer);
  const [up, down] = await Promise.all([writeRandom(peer, size), writeRandom(core, size + 1)]);
  peer.end();
  core.end();
  t.same(await atCore, { hash: up, bytes: size });
  t.same(await atPeer, { hash: down, bytes: size + 1 });
  await until(() => b.shell.stats().open === 0, 'closed');
  t.match(b.shell.stats(), { bytesUp: size, bytesDown: size + 1, relayed: 1 });
});

t.test('a reader that stops holds the writer back, and the relay holds little', async (t) => {
  const b = await bench(NEVER);
  t.teardown(() => b.close());
  const { peer, core } = await b.open();
  core.pause();
  const before = process.memoryUsage().arrayBuffers;
  const block = Buffer.alloc(1 << 20);
  let written = 0;
  const write = (): void => {
    while (peer.writableLength < 4 << 20 && written < 400) {
      written += 1;
      peer.write(block);
    }
  };
  peer.on('drain', write);
  write();
  await sleep(500);
  t.ok(written < 100, `the writer was held back after ${written} MB`);
  t.ok(process.memoryUsage().arrayBuffers - before < 8 << 20, 'no more is in memory than the writer queued');
  let read = 0;
  core.on('data', (chunk: Buffer) => {
    read += chunk.length;
  });
  core.resume();
  await until(() => read === 400 << 20, 'all came through in the end');
});

for (const first of ['peer', 'core'] as const) {
  t.test(`half-close by the ${first}: the other direction goes on`, async (t) => {
    const b = await bench(NEVER);
    t.teardown(() => b.close());
    const ends = await b.open();
    const near = ends[first];
    const far = first === 'peer' ? ends.core : ends.peer;
    const atFar = readAll(far);
    const atNear = readAll(near);
    near.end('last words');
    t.match(await atFar, { data: Buffer.from('last words'), how: 'end' });
    far.write('still ');
    await sleep(50);
    t.equal(b.shell.stats().open, 1);
    far.end('here');
    t.match(await atNear, { data: Buffer.from('still here'), how: 'end' });
    await until(() => b.shell.stats().open === 0, 'closed');
  });

  t.test(`reset by the ${first}: the other end is reset`, async (t) => {
    const b = await bench(NEVER);
    t.teardown(() => b.close());
    const ends = await b.open();
    const far = first === 'peer' ? ends.core : ends.peer;
    const atFar = readAll(far);
    ends[first].resetAndDestroy();
    t.equal((await atFar).how, 'ECONNRESET');
    await until(() => b.shell.stats().open === 0, 'closed');
  });

  t.test(`data and a reset of the ${first} that come together are not an orderly end`, async (t) => {
    const b = await bench(NEVER);
    t.teardown(() => b.close());
    const ends = await b.open();
    const far = first === 'peer' ? ends.core : ends.peer;
    const atFar = readAll(far);
    await sleep(20);
    ends[first].write('truncated');
    ends[first].resetAndDestroy();
    t.equal((await atFar).how, 'ECONNRESET');
    await until(() => b.shell.stats().open === 0, 'closed');
  });

  t.test(`the same after the other side has ended its sending`, async (t) => {
    const b = await bench(NEVER);
    t.teardown(() => b.close());
    const ends = await b.open();
    const far = first === 'peer' ? ends.core : ends.peer;
    const atFar = readAll(far);
    ends[first].resume();
    far.end('request');
    await once(ends[first], 'end');
    await sleep(20);
    ends[first].write('truncated');
    ends[first].resetAndDestroy();
    t.equal((await atFar).how, 'ECONNRESET');
    await until(() => b.shell.stats().open === 0, 'closed');
  });
}

t.test('a reset right after an end reaches the other end', async (t) => {
  const b = await bench(NEVER);
  t.teardown(() => b.close());
  const { peer, core } = await b.open();
  const atPeer = readAll(peer);
  peer.end();
  core.resume();
  await once(core, 'end');
  core.resetAndDestroy();
  t.equal((await atPeer).how, 'ECONNRESET');
  await until(() => b.shell.stats().open === 0, 'closed');
});

t.test('a core that refuses: the peer is reset', async (t) => {
  const listen = await freeEndpoint();
  const { shell, fake } = await setUp({ routes: [{ listen, core: await freeEndpoint() }] });
  t.teardown(() => shell.stop(AbortSignal.abort()));
  t.equal((await readAll(startDial(listen))).how, 'ECONNRESET');
  await until(() => shell.stats().open === 0 && shell.stats().flows === 0, 'closed');
  t.match(shell.stats(), { coreFailed: 1, relayed: 0 });
  t.same(fake.released, ['f1'], 'the flow is given up');
  t.match(shell.stats().ports, [{ held: 0 }]);
});

/** Listens, never accepts, and sleeps for good: once its queue is full, SYNs to it are dropped. */
const DEAF = `require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () {
  require('fs').writeSync(1, String(this.address().port));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});`;

t.test('a core that does not answer: the peer is reset when the time is over', async (t) => {
  const deaf = spawn(process.execPath, ['-e', DEAF], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => deaf.kill('SIGKILL'));
  const [text] = (await once(deaf.stdout, 'data')) as [Buffer];
  const core = { address: '127.0.0.1', port: Number(text) };
  const fillers = Array.from({ length: 4 }, () => connect(core.port, core.address).on('error', () => {}));
  t.teardown(() => {
    for (const socket of fillers) socket.destroy();
  });
  await until(() => fillers.filter((socket) => !socket.connecting).length === 2, 'its queue is full');
  const listen = await freeEndpoint();
  const { shell } = await setUp({ routes: [{ listen, core }], connect: 300 });
  t.teardown(() => shell.stop(AbortSignal.abort()));
  t.equal((await readAll(startDial(listen))).how, 'ECONNRESET');
  await until(() => shell.stats().open === 0 && shell.stats().flows === 0, 'closed');
  t.match(shell.stats(), { coreFailed: 1, relayed: 0, ports: [{ held: 0 }] });
});

t.test('over the limit of connections the peer is reset', async (t) => {
  const b = await bench(NEVER, { connections: 2 });
  t.teardown(() => b.close());
  const first = await b.open();
  await b.open();
  t.equal((await readAll(startDial(b.listen))).how, 'ECONNRESET');
  t.equal(b.shell.stats().rejected, 1);
  first.peer.resetAndDestroy();
  await until(() => b.shell.stats().open === 1, 'one is over');
  await b.open();
  t.equal(b.shell.stats().relayed, 3);
});
