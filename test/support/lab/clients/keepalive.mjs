/**
 * Many HTTP keep-alive connections at once, each with many requests, one after the other.
 * Arguments: host, port, connections, requests, and until (a file): all go on until it appears. One report for all.
 */
import { args, fileAppears, openSocket, report } from './common.mjs';

const { host, port, connections, requests, until } = args;
const REQUEST = Buffer.from(`GET /ping HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
const BODY = 'pong\n';

let mayEnd = until === undefined;
if (until) {
  fileAppears(until).then(() => {
    mayEnd = true;
  });
}

/** Every answer must be the same bytes as the first one, which must be the right one. */
async function converse() {
  const socket = await openSocket({ host, port });
  let done = 0;
  let answer;
  let pending = Buffer.alloc(0);
  let asked = performance.now();
  let worstMs = 0;
  const error = await new Promise((resolve) => {
    const finish = (text) => resolve(text);
    socket.on('error', (problem) => finish(problem.message));
    socket.on('close', () => finish(`closed after ${done} answers`));
    socket.on('data', (piece) => {
      pending = pending.length === 0 ? piece : Buffer.concat([pending, piece]);
      answer ??= pending.includes(BODY) ? Buffer.from(pending) : undefined;
      if (answer === undefined || pending.length < answer.length) return;
      if (!pending.equals(answer)) return finish(`answer ${done + 1} differs: ${pending.toString('latin1')}`);
      pending = Buffer.alloc(0);
      done += 1;
      const now = performance.now();
      worstMs = Math.max(worstMs, now - asked);
      asked = now;
      if (mayEnd && done >= requests) return finish(undefined);
      socket.write(REQUEST);
    });
    socket.write(REQUEST);
  });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.end();
  if (!socket.closed) await closed;
  return {
    ...socket.ends,
    requests: done,
    worstMs,
    answer: answer?.toString('latin1'),
    written: socket.bytesWritten,
    read: socket.bytesRead,
    error,
  };
}

const results = await Promise.allSettled(Array.from({ length: connections }, converse));
report(results.map(({ value, reason }) => value ?? { error: `${reason.code} ${reason.message}` }));
