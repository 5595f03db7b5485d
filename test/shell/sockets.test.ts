import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/platform/clock.js';
import { codeOf, isPortBusy, openConnection, resetSocket, wasReset } from '../../src/platform/sockets.js';
import { dial, freeEndpoint, HOST, listen, readAll } from './support.js';

async function pairOfSockets(t: Test): Promise<[Socket, Socket]> {
  const accepted: Socket[] = [];
  const [server, at] = await listen((socket) => accepted.push(socket));
  t.teardown(() => server.close());
  const near = await dial(at);
  if (accepted.length === 0) await once(server, 'connection');
  const [far] = accepted;
  if (!far) throw new Error('not accepted');
  t.teardown(() => {
    near.destroy();
    far.destroy();
  });
  return [near, far];
}

function descriptor(socket: Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd;
}

t.test('a reset while a shutdown is under way leaves no descriptor open', async (t) => {
  const [near, far] = await pairOfSockets(t);
  far.resume();
  const fd = descriptor(near);
  let error: unknown;
  near.on('error', (found) => {
    error = found;
  });
  near.end();
  await Promise.resolve();
  resetSocket(near);
  await once(near, 'close');
  t.equal(error, undefined);
  t.throws(() => fstatSync(fd), { code: 'EBADF' });
});

t.test('a reset of a socket with bytes in it, and of one that is gone', async (t) => {
  const [near, far] = await pairOfSockets(t);
  far.pause();
  near.write(Buffer.alloc(20_000_000));
  resetSocket(near);
  await once(near, 'close');
  const atFar = readAll(far);
  far.resume();
  t.equal((await atFar).how, 'ECONNRESET');
  resetSocket(near);
  t.equal(near.destroyed, true);
});

t.test('an end that was a FIN is told from one that was a reset', async (t) => {
  const [near, far] = await pairOfSockets(t);
  near.end('x');
  far.resume();
  await once(far, 'end');
  t.equal(wasReset(far), false);
  far.end();
  near.resume();
  const both = Promise.all([once(near, 'end').then(() => wasReset(near)), once(near, 'close')]);
  t.equal((await both)[0], false, 'also when both sides have ended');
});

t.test('which errors mean that another port may do', async (t) => {
  const error = (code: string, syscall: string): Error => Object.assign(new Error(code), { code, syscall });
  t.equal(isPortBusy(error('EADDRINUSE', 'bind')), true);
  t.equal(isPortBusy(error('EADDRNOTAVAIL', 'connect')), true);
  t.equal(isPortBusy(error('EADDRNOTAVAIL', 'bind')), false, 'the address is not of this host');
  t.equal(isPortBusy(error('ECONNREFUSED', 'connect')), false);
  t.equal(isPortBusy(undefined), false);
});

t.test('a connect that is given up', async (t) => {
  const to = await freeEndpoint();
  const request = { to, localAddress: HOST, localPort: undefined, timeoutMs: 1000 };
  await t.rejects(openConnection({ ...request, signal: AbortSignal.abort() }, systemClock), {
    name: 'AbortError',
  });
  const error = await openConnection({ ...request, signal: new AbortController().signal }, systemClock).catch(
    (found: unknown) => found,
  );
  t.equal(codeOf(error), 'ECONNREFUSED');
});
