/**
 * The load of the fault harness (test/support/faults): connections of many kinds at once, each checked byte for
 * byte, that go on until they are told to end. Arguments: host, connections (a list of { kind, port, seed, delayMs? }),
 * open, half and go (files), seconds (how long a half-closed connection is answered), limitMs (for their end after
 * `go`). Those with a `delayMs` are opened so long after `open` appears.
 *
 * Reports twice: the ends of all connections once they are open (null for those that open later), and at the end what
 * became of each: `ok`, `wrong` (bytes lost, doubled or changed), `reset`, `fin` (an end that nobody had asked for),
 * `timeout` (given up by this host's TCP), `silence` (nothing heard until `limitMs` after `go`), `refused` or
 * `unreachable` (not opened).
 */
import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { args, fileAppears, openSocket, Prng, report } from './common.mjs';

const { host, connections, open, half, go, seconds = 0, limitMs } = args;
const PING = Buffer.from(`GET /ping HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
const STEP_MS = 20;
const CHUNK = 8192;
/** More than all buffers between the two ends hold. */
const STALLED_BYTES = 24_000_000;
const BOTH_BYTES = 24_000_000;
/** Sent and wanted back at first; no more than any end has room for. */
const HELD_BYTES = 40_000;
const HELD_PIECE = 100;
const HELD_PIECE_MS = 500;

class Lost extends Error {
  constructor(outcome, bytes = 0) {
    super(outcome);
    this.outcome = outcome;
    this.bytes = bytes;
  }
}

const OUTCOMES = {
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout',
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
};

/** libuv takes a reset behind unread data for an end; one more read tells (see src/shell/sockets.ts). */
function wasReset(socket) {
  try {
    return readSync(socket._handle.fd, new Uint8Array(1)) !== 0;
  } catch {
    return true;
  }
}

/** A socket that is pulled, with the longest time that it was waited for. */
class Wire {
  worstMs = 0;
  #lost;
  #ended = false;

  constructor(socket) {
    this.socket = socket;
    socket.on('error', ({ code }) => {
      this.#lost ??= new Lost(OUTCOMES[code] ?? code);
    });
    socket.on('close', () => {
      this.#lost ??= new Lost('closed');
    });
    socket.on('end', () => {
      if (wasReset(socket)) this.#lost ??= new Lost('reset');
      else this.#ended = true;
    });
  }

  /** What came next, or undefined at the end. `isDue`: the other end has something to send. */
  async take(isDue = true) {
    const since = performance.now();
    for (;;) {
      const piece = this.socket.read();
      if (piece !== null) {
        if (isDue) this.#waited(since);
        return piece;
      }
      if (this.#ended) return undefined;
      if (this.#lost) throw this.#lost;
      await this.#event('readable', 'end');
    }
  }

  async exactly(count) {
    let all = Buffer.alloc(0);
    while (all.length < count) {
      const piece = await this.take();
      if (piece === undefined) throw new Lost('fin');
      all = all.length === 0 ? piece : Buffer.concat([all, piece]);
    }
    if (all.length > count) throw new Lost('wrong', all.length - count);
    return all;
  }

  async rest() {
    const all = [];
    for (let piece = await this.take(); piece !== undefined; piece = await this.take()) all.push(piece);
    return Buffer.concat(all);
  }

  async write(bytes) {
    if (this.#lost) throw this.#lost;
    if (this.socket.write(bytes)) return;
    const since = performance.now();
    await this.#event('drain');
    this.#waited(since);
    if (this.#lost) throw this.#lost;
  }

  /** Both ends have said their FIN and heard the other's. */
  async finish() {
    this.socket.end();
    if ((await this.take()) !== undefined) throw new Lost('wrong');
    if (!this.socket.closed) await this.#event('close');
  }

  #waited(since) {
    this.worstMs = Math.max(this.worstMs, performance.now() - since);
  }

  #event(...names) {
    return new Promise((resolve) => {
      const all = [...names, 'error', 'close'];
      const done = () => {
        for (const name of all) this.socket.off(name, done);
        resolve();
      };
      for (const name of all) this.socket.on(name, done);
    });
  }
}

const told = { half: false, go: false };
const halfTold = half === undefined ? undefined : fileAppears(half);
const goTold = fileAppears(go).then(() => {
  told.go = true;
});

function pause() {
  return Promise.race([goTold, sleep(STEP_MS)]);
}

/** Compares a stream with what it should be, as it comes. */
class Expected {
  wrong = 0;
  #prng;

  constructor(bytes, seed) {
    this.left = bytes;
    this.#prng = new Prng(seed);
  }

  /** What lies behind the end of the stream. */
  take(piece) {
    const mine = piece.subarray(0, this.left);
    const right = this.#prng.fill(Buffer.allocUnsafe(mine.length));
    if (!mine.equals(right)) for (let i = 0; i < mine.length; i++) if (mine[i] !== right[i]) this.wrong += 1;
    this.left -= mine.length;
    return piece.subarray(mine.length);
  }

  check() {
    if (this.wrong + this.left > 0) throw new Lost('wrong', this.wrong + this.left);
  }
}

async function echo(wire, seed) {
  const prng = new Prng(seed);
  await wire.write('ECHO\n');
  while (!told.go) {
    const [a, b] = prng.fill(Buffer.alloc(2));
    const message = prng.fill(Buffer.alloc(1 + ((a * 256 + b) % 3000)));
    await wire.write(message);
    const answer = await wire.exactly(message.length);
    if (!answer.equals(message)) throw new Lost('wrong', message.length);
    await pause();
  }
  await wire.finish();
}

async function requests(wire) {
  await wire.write(PING);
  let first = Buffer.alloc(0);
  while (!first.includes('pong\n')) {
    const piece = await wire.take();
    if (piece === undefined) throw new Lost('fin');
    first = Buffer.concat([first, piece]);
  }
  while (!told.go) {
    await wire.write(PING);
    const answer = await wire.exactly(first.length);
    if (!answer.equals(first)) throw new Lost('wrong', answer.length);
    await pause();
  }
  await wire.finish();
}

async function send(wire, seed, hash, until) {
  const prng = new Prng(seed);
  let bytes = 0;
  while (!until()) {
    const chunk = prng.fill(Buffer.allocUnsafe(CHUNK));
    hash.update(chunk);
    bytes += chunk.length;
    await wire.write(chunk);
    await pause();
  }
  return bytes;
}

/** `SHA256 COUNT …`: what the far end says of the bytes that were sent to it. */
function checkUpload(line, hash, bytes) {
  const [sha256, count] = line.split(' ');
  const missing = Math.abs(bytes - Number(count));
  if (missing > 0 || Number.isNaN(missing)) throw new Lost('wrong', missing || bytes);
  if (sha256 !== hash.digest('hex')) throw new Lost('wrong', bytes);
}

async function up(wire, seed) {
  const hash = createHash('sha256');
  await wire.write('SINK 0\n');
  const bytes = await send(wire, seed, hash, () => told.go);
  wire.socket.end();
  const answer = await wire.rest();
  if (answer.length === 0) throw new Lost('fin');
  checkUpload(answer.toString('latin1').split('\n')[0], hash, bytes);
}

async function both(wire, seed) {
  const hash = createHash('sha256');
  await wire.write(`DUPLEX ${BOTH_BYTES} ${seed}\n`);
  const sending = send(wire, seed + 1, hash, () => told.go).then((bytes) => {
    wire.socket.end();
    return bytes;
  });
  const expected = new Expected(BOTH_BYTES, seed);
  const tail = [];
  const receiving = (async () => {
    for (;;) {
      const piece = await wire.take(expected.left > 0);
      if (piece === undefined) return;
      tail.push(expected.take(piece));
      if (!told.go) await pause();
    }
  })();
  const [bytes] = await Promise.all([sending, receiving]);
  const line = Buffer.concat(tail).toString('latin1');
  if (line === '') throw new Lost('fin');
  expected.check();
  checkUpload(line, hash, bytes);
}

/** Reads nothing before `go`, so that what is under way stays where it is. */
async function stalled(wire, seed) {
  await wire.write(`SOURCE ${STALLED_BYTES} ${seed}\n`);
  await goTold;
  const expected = new Expected(STALLED_BYTES, seed);
  for (let piece = await wire.take(); piece !== undefined; piece = await wire.take()) expected.take(piece);
  expected.check();
  await wire.finish();
}

/** Nothing comes back of it before `go`, in order at least; what follows a cut passes what is held. */
async function held(wire, seed) {
  const prng = new Prng(seed);
  const pieces = [];
  const say = async (bytes) => {
    const piece = prng.fill(Buffer.allocUnsafe(bytes));
    pieces.push(piece);
    await wire.write(piece);
  };
  await wire.write('ECHO\n');
  await say(HELD_BYTES);
  while (!told.go) {
    await Promise.race([goTold, sleep(HELD_PIECE_MS)]);
    await say(HELD_PIECE);
  }
  const all = Buffer.concat(pieces);
  const answer = await wire.exactly(all.length);
  if (!answer.equals(all)) throw new Lost('wrong', all.length);
  await wire.finish();
}

/** Closes its half when told, and is answered for a while. */
async function halfClosed(wire, seed) {
  const hash = createHash('sha256');
  await wire.write(`SINK ${seconds}\n`);
  const bytes = await send(wire, seed, hash, () => told.half || told.go);
  wire.socket.end();
  const all = await wire.rest();
  const line = all.subarray(0, all.indexOf(10));
  if (line.length === 0) throw new Lost('fin');
  checkUpload(line.toString('latin1'), hash, bytes);
  const answer = all.subarray(line.length + 1, all.length - 64);
  const said = all.subarray(all.length - 64).toString('latin1');
  if (said === createHash('sha256').update(answer).digest('hex')) return;
  throw /^[0-9a-f]{64}$/.test(said) ? new Lost('wrong', answer.length) : new Lost('fin');
}

const KINDS = { echo, requests, up, both, stalled, held, halfClosed };

async function live({ kind, seed }, wire) {
  const silent = goTold
    .then(() => sleep(limitMs, undefined, { ref: false }))
    .then(() => ({ outcome: 'silence' }));
  const done = KINDS[kind](wire, seed).then(
    () => ({ outcome: 'ok' }),
    (error) => ({ outcome: error.outcome ?? String(error), bytes: error.bytes ?? 0 }),
  );
  const result = await Promise.race([done, silent]);
  wire.socket.destroy();
  const { bytesWritten: written, bytesRead: read } = wire.socket;
  return { ...wire.socket.ends, written, read, bytes: 0, ...result, worstMs: Math.round(wire.worstMs) };
}

async function dial({ port }) {
  return new Wire(await openSocket({ host, port }, { allowHalfOpen: true }));
}

/** Opened when its moment has come, unless that fails. */
async function liveLater(connection) {
  await opened;
  await sleep(connection.delayMs);
  const since = performance.now();
  try {
    const wire = await dial(connection);
    wire.worstMs = performance.now() - since;
    return await live(connection, wire);
  } catch ({ code }) {
    const nowhere = { local: '', remote: '', written: 0, read: 0 };
    return { ...nowhere, outcome: OUTCOMES[code] ?? code, bytes: 0, worstMs: 0 };
  }
}

const opened = open === undefined ? undefined : fileAppears(open);
const isLater = ({ delayMs }) => delayMs !== undefined;
const wires = await Promise.all(connections.map((one) => (isLater(one) ? undefined : dial(one))));
halfTold?.then(() => {
  told.half = true;
});
const living = connections.map((one, i) => (isLater(one) ? liveLater(one) : live(one, wires[i])));
report(wires.map((wire) => wire?.socket.ends ?? null));
report(await Promise.all(living));
process.exit(0);
