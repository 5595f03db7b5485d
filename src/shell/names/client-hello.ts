/**
 * The server name of a TLS ClientHello (RFC 6066 section 3), from the bytes with which a connection begins. Pure,
 * and nothing is decrypted: with Encrypted Client Hello this is the name that is shown to everyone.
 *
 * The message may be cut into several records (RFC 8446 section 5.1), and these into any number of segments.
 * Nothing is read past the bytes that are there, nor past the block of the message that a length belongs to.
 */
import { hostName, type Named } from './named.js';

const RECORD_HANDSHAKE = 22;
const RECORD_HEADER_BYTES = 5;
const MAJOR_VERSION = 3;
/** RFC 8446 section 5.1. */
const MAX_FRAGMENT = 2 ** 14;
const CLIENT_HELLO = 1;
const HANDSHAKE_HEADER_BYTES = 4;
const RANDOM_BYTES = 32;
const MAX_SESSION_ID = 32;
const EXTENSION_SERVER_NAME = 0;
const NAME_TYPE_HOST = 0;

const MORE = { kind: 'more' } as const;
const NONE = { kind: 'none' } as const;
const OTHER = { kind: 'other' } as const;

export function clientHelloName(bytes: Buffer): Named {
  const message = handshakeMessage(bytes);
  if (!Buffer.isBuffer(message)) return message;
  const hello = new Cursor(message);
  hello.skip(2 + RANDOM_BYTES);
  const sessionId = hello.block(hello.number(1));
  if (sessionId.length > MAX_SESSION_ID) return OTHER;
  hello.block(hello.number(2));
  hello.block(hello.number(1));
  if (hello.failed) return OTHER;
  // Old clients end here.
  if (hello.left === 0) return NONE;
  const extensions = new Cursor(hello.block(hello.number(2)));
  return hello.failed || hello.left > 0 ? OTHER : nameIn(extensions);
}

/** The first handshake message, put together from its records; or why there is none. */
function handshakeMessage(bytes: Buffer): Buffer | typeof MORE | typeof OTHER {
  const fragments: Buffer[] = [];
  let collected = 0;
  for (let at = 0; at < bytes.length; ) {
    const [type, major] = bytes.subarray(at, at + 2);
    if (type !== RECORD_HANDSHAKE || (major ?? MAJOR_VERSION) !== MAJOR_VERSION) return OTHER;
    if (bytes.length < at + RECORD_HEADER_BYTES) return MORE;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > MAX_FRAGMENT) return OTHER;
    const start = at + RECORD_HEADER_BYTES;
    fragments.push(bytes.subarray(start, start + length));
    collected += Math.min(length, bytes.length - start);
    at = start + length;
    const message = fragments.length === 1 ? (fragments[0] as Buffer) : Buffer.concat(fragments);
    if (message.length > 0 && message[0] !== CLIENT_HELLO) return OTHER;
    if (collected < HANDSHAKE_HEADER_BYTES) continue;
    const end = HANDSHAKE_HEADER_BYTES + message.readUIntBE(1, 3);
    if (collected >= end) return message.subarray(HANDSHAKE_HEADER_BYTES, end);
  }
  return MORE;
}

function nameIn(extensions: Cursor): Named {
  let found: Named = NONE;
  let seen = false;
  while (extensions.left > 0) {
    const type = extensions.number(2);
    const data = extensions.block(extensions.number(2));
    if (extensions.failed) return OTHER;
    if (type !== EXTENSION_SERVER_NAME) continue;
    // RFC 8446 section 4.2: one of a type.
    if (seen) return OTHER;
    seen = true;
    found = hostNameOf(new Cursor(data));
    if (found.kind === 'other') return OTHER;
  }
  return found;
}

/** RFC 6066: a list with at most one name of each type; only the type of hosts' names exists. */
function hostNameOf(extension: Cursor): Named {
  const list = new Cursor(extension.block(extension.number(2)));
  if (extension.failed || extension.left > 0) return OTHER;
  while (list.left > 0) {
    const type = list.number(1);
    const name = list.block(list.number(2));
    if (list.failed) return OTHER;
    if (type === NAME_TYPE_HOST) return hostName(name.toString('latin1'));
  }
  return OTHER;
}

/** Reads on in a block, and fails instead of reading past its end. */
class Cursor {
  failed = false;
  #at = 0;

  constructor(readonly bytes: Buffer) {}

  get left(): number {
    return this.bytes.length - this.#at;
  }

  skip(count: number): void {
    if (count > this.left) this.failed = true;
    this.#at = Math.min(this.#at + count, this.bytes.length);
  }

  /** Big-endian; 0 when there is none. */
  number(size: number): number {
    const at = this.#at;
    this.skip(size);
    return this.failed ? 0 : this.bytes.readUIntBE(at, size);
  }

  block(length: number): Buffer {
    const at = this.#at;
    this.skip(length);
    return this.bytes.subarray(at, this.failed ? at : at + length);
  }
}
