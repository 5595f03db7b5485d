/**
 * Ping-pong over plain TCP: a message of random length out, the same bytes back, and so on.
 * Arguments: host, port or ports (one a connection), connections, oneByOne (each opens once the one before has had its
 * first answer), rounds, min, max, seed, gapMs between rounds (0), and until (a file): rounds go on until it appears. One report for all.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { args, fileAppears, openSocket, Prng, report } from './common.mjs';

const { host, port, ports, connections, rounds, min, max, seed, gapMs = 0, oneByOne = false, until } = args;

let mayEnd = until === undefined;
if (until) {
  fileAppears(until).then(() => {
    mayEnd = true;
  });
}

function expect(socket, wanted) {
  return new Promise((resolve, reject) => {
    let at = 0;
    const stop = (settle, value) => {
      socket.off('data', onData).off('error', onError).off('close', onClose);
      settle(value);
    };
    const onError = (error) => stop(reject, error);
    const onClose = () => stop(reject, new Error(`closed after ${at} of ${wanted.length} bytes`));
    const onData = (piece) => {
      if (at + piece.length > wanted.length || !piece.equals(wanted.subarray(at, at + piece.length))) {
        return stop(reject, new Error(`wrong bytes at ${at} of a message of ${wanted.length}`));
      }
      at += piece.length;
      if (at === wanted.length) stop(resolve);
    };
    socket.on('data', onData).on('error', onError).on('close', onClose);
  });
}

/** When connection n may open. */
const openings = Array.from({ length: connections + 1 }, () => {
  const opening = {};
  opening.promise = new Promise((resolve) => {
    opening.may = resolve;
  });
  return opening;
});
openings[0].may();

async function rally(index) {
  if (oneByOne) await openings[index]?.promise;
  const socket = await openSocket({ host, port: ports?.[index] ?? port });
  const prng = new Prng(seed + index);
  const length = new Uint32Array(1);
  let done = 0;
  let worstMs = 0;
  let error;
  socket.write('ECHO\n');
  try {
    for (; done < rounds || !mayEnd; done++) {
      prng.fill(new Uint8Array(length.buffer));
      const message = prng.fill(Buffer.allocUnsafe(min + (length[0] % (max - min + 1))));
      const begun = performance.now();
      const back = expect(socket, message);
      socket.write(message);
      await back;
      openings[index + 1].may();
      worstMs = Math.max(worstMs, performance.now() - begun);
      if (gapMs > 0) await sleep(gapMs);
    }
  } catch (problem) {
    error = problem.message;
  }
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => {});
  socket.resume().end();
  if (!socket.closed) await closed;
  return {
    ...socket.ends,
    rounds: done,
    worstMs,
    written: socket.bytesWritten,
    read: socket.bytesRead,
    error,
  };
}

const results = await Promise.allSettled(
  Array.from({ length: connections }, (_, i) => rally(i).finally(openings[i + 1].may)),
);
report(results.map(({ value, reason }) => value ?? { error: `${reason.code} ${reason.message}` }));
