/** What every client program shares: its arguments, its report, and the workload's byte stream. */
import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export const args = JSON.parse(process.argv[2] ?? '{}');

/** One JSON document a line: what the test reads. */
export function report(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

/** The test says "go on" by making a file. */
export async function fileAppears(path) {
  for (;;) {
    try {
      await access(path);
      return;
    } catch {
      await sleep(5);
    }
  }
}

function endpointText(address, port) {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Both ends of a connected socket; a port of the client's may serve connections to several servers. */
export function endsOf(socket) {
  return {
    local: endpointText(socket.localAddress, socket.localPort),
    remote: endpointText(socket.remoteAddress, socket.remotePort),
  };
}

export function openSocket({ host, port }, options = {}) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true, ...options });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      socket.ends = endsOf(socket);
      resolve(socket);
    });
  });
}

/** The generator of suture.workload.Prng: same seed, same bytes. */
export class Prng {
  #state;
  #word = 0;
  #left = 0;

  constructor(seed) {
    this.#state = seed | 0 || 0x9e3779b9 | 0;
  }

  fill(out) {
    let at = 0;
    while (at < out.length && this.#left > 0) at = this.#drain(out, at);
    let x = this.#state;
    for (const end = out.length - 3; at < end; at += 4) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      out[at] = x;
      out[at + 1] = x >>> 8;
      out[at + 2] = x >>> 16;
      out[at + 3] = x >>> 24;
    }
    this.#state = x;
    while (at < out.length) {
      if (this.#left === 0) {
        x ^= x << 13;
        x ^= x >>> 17;
        x ^= x << 5;
        this.#state = x;
        this.#word = x;
        this.#left = 4;
      }
      at = this.#drain(out, at);
    }
    return out;
  }

  #drain(out, at) {
    out[at] = this.#word;
    this.#word >>>= 8;
    this.#left -= 1;
    return at + 1;
  }
}

const CHUNK = 65_536;

/** `bytes` of the stream of `seed`, in chunks, each hashed as it leaves. */
export function* generate(bytes, seed, hash) {
  const prng = new Prng(seed);
  for (let left = bytes; left > 0; left -= CHUNK) {
    const chunk = prng.fill(Buffer.allocUnsafe(Math.min(left, CHUNK)));
    hash.update(chunk);
    yield chunk;
  }
}

export function expectedHash(bytes, seed) {
  const hash = createHash('sha256');
  for (const _ of generate(bytes, seed, hash));
  return hash.digest('hex');
}

/** Hash, length and the longest time between two pieces of what is received. */
export class Received {
  bytes = 0;
  longestPauseMs = 0;
  #hash = createHash('sha256');
  #last;

  /** After what was received before on the same connection, the time in between counts as well. */
  constructor(before) {
    this.#last = before?.last ?? 0;
  }

  get last() {
    return this.#last;
  }

  take(piece) {
    const now = performance.now();
    if (this.#last > 0) this.longestPauseMs = Math.max(this.longestPauseMs, now - this.#last);
    this.#last = now;
    this.bytes += piece.length;
    this.#hash.update(piece);
  }

  digest() {
    return this.#hash.digest('hex');
  }
}

/** Writes with back-pressure. */
export async function writeAll(stream, chunks) {
  for (const chunk of chunks) {
    if (!stream.write(chunk)) await new Promise((resolve) => stream.once('drain', resolve));
  }
}
