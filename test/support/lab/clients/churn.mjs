/**
 * Short connections one after the other, on so many at a time, each checked byte for byte, until a file appears.
 * Arguments: host, http and raw (ports), workers, gapMs, until. Reports at the end how many went `ok`, were `refused`
 * (never opened, or reset before their first byte), `lost` (opened, and broken) or `wrong`.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { args, expectedHash, fileAppears, openSocket, Prng, report } from './common.mjs';

const { host, http, raw, workers, gapMs, until } = args;
const DOWNLOAD = 200_000;
const REQUESTS = 10;
const PING = `GET /ping HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
/** Longer than any fault. */
const PATIENCE_MS = 60_000;

const counts = { ok: 0, refused: 0, lost: 0, wrong: 0 };
const hash = expectedHash(DOWNLOAD, 7);
let isOver = false;
fileAppears(until).then(() => {
  isOver = true;
});

async function download(socket) {
  const got = createHash('sha256');
  socket.write(`SOURCE ${DOWNLOAD} 7\n`);
  for await (const piece of socket) got.update(piece);
  socket.end();
  return got.digest('hex') === hash;
}

async function echo(socket, seed) {
  const message = new Prng(seed).fill(Buffer.allocUnsafe(20_000));
  socket.write('ECHO\n');
  socket.end(message);
  const pieces = [];
  for await (const piece of socket) pieces.push(piece);
  return Buffer.concat(pieces).equals(message);
}

async function requests(socket) {
  let answers = 0;
  let text = '';
  socket.write(PING);
  for await (const piece of socket) {
    text += piece.toString('latin1');
    if (!text.endsWith('pong\n')) continue;
    text = '';
    answers += 1;
    if (answers < REQUESTS) socket.write(PING);
    else socket.end();
  }
  return answers === REQUESTS;
}

const KINDS = [
  [raw, download],
  [raw, echo],
  [http, requests],
];

async function one(turn) {
  const [port, talk] = KINDS[turn % KINDS.length];
  let socket;
  try {
    socket = await openSocket({ host, port }, { allowHalfOpen: true });
  } catch {
    return 'refused';
  }
  socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error('silence')));
  try {
    return (await talk(socket, turn + 1)) ? 'ok' : 'wrong';
  } catch {
    // Before its first byte: the shell could not reach the core in time, and said so.
    return socket.bytesRead === 0 ? 'refused' : 'lost';
  } finally {
    socket.destroy();
  }
}

async function work(first) {
  for (let turn = first; !isOver; turn += workers) {
    counts[await one(turn)] += 1;
    await sleep(gapMs);
  }
}

await Promise.all(Array.from({ length: workers }, (_, i) => work(i)));
report(counts);
