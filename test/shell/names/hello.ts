/** ClientHello messages as tests want them. */
import { connect as connectTls } from 'node:tls';
import { listen } from '../support.js';

const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 255);
const block = (size: 1 | 2, body: Buffer): Buffer =>
  Buffer.concat([size === 1 ? Buffer.of(body.length) : u16(body.length), body]);

export const extension = (type: number, body: Buffer): Buffer => Buffer.concat([u16(type), block(2, body)]);

/** RFC 6066 section 3. */
export function serverName(name: string, type = 0): Buffer {
  const entry = Buffer.concat([Buffer.of(type), block(2, Buffer.from(name, 'latin1'))]);
  return extension(0, block(2, entry));
}

export interface HelloParts {
  readonly sessionId?: Buffer;
  readonly ciphers?: Buffer;
  readonly compression?: Buffer;
  /** Undefined: the message ends without a block of them. */
  readonly extensions?: readonly Buffer[] | undefined;
}

/** RFC 8446 section 4.1.2, with its handshake header. */
export function helloMessage(parts: HelloParts): Buffer {
  const { sessionId = Buffer.alloc(32, 7), ciphers = Buffer.of(0x13, 1), compression = Buffer.of(0) } = parts;
  const { extensions } = parts;
  const body = Buffer.concat([
    Buffer.of(3, 3),
    Buffer.alloc(32, 0xaa),
    block(1, sessionId),
    block(2, ciphers),
    block(1, compression),
    ...(extensions ? [block(2, Buffer.concat(extensions))] : []),
  ]);
  return Buffer.concat([Buffer.of(1, 0), block(2, body)]);
}

/** A message in records of these sizes; the last one takes the rest. */
export function inRecords(message: Buffer, sizes: readonly number[] = []): Buffer {
  const records: Buffer[] = [];
  let at = 0;
  for (const size of [...sizes, Number.POSITIVE_INFINITY]) {
    const fragment = message.subarray(at, at + size);
    if (fragment.length === 0) break;
    records.push(Buffer.concat([Buffer.of(22, 3, 1), block(2, fragment)]));
    at += fragment.length;
  }
  return Buffer.concat(records);
}

/** An extension that everybody sends, and nobody here looks at: supported_versions. */
export const VERSIONS = extension(43, Buffer.of(2, 3, 4));

/** What this Node's TLS library really sends. */
export async function realHello(servername: string | undefined): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let enough = (): void => {};
  const [server, at] = await listen((socket) => {
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      socket.destroy();
      enough();
    });
  });
  const got = new Promise<void>((resolve) => {
    enough = resolve;
  });
  const client = connectTls({ host: at.address, port: at.port, ...(servername ? { servername } : {}) });
  client.on('error', () => {});
  await got;
  client.destroy();
  server.close();
  return Buffer.concat(chunks);
}
