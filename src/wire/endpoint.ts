/**
 * Addresses and endpoints as people write them: `10.0.0.1:80`, `[fd00::1]:80`. For configuration, control
 * messages and output; the packet path uses `Tuple`.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { Tuple } from './tuple.js';

const [DOT, ZERO] = [0x2e, 0x30];

export interface Endpoint {
  /** Canonical text: dotted IPv4, or IPv6 as RFC 5952 writes it. */
  readonly address: string;
  readonly port: number;
}

/** Four 32-bit words of an address, IPv4 in its IPv4-mapped form. Undefined when the text is no address. */
export function addressWords(text: string): Uint32Array | undefined {
  if (isIPv4(text)) return Uint32Array.of(0, 0, 0xffff, ipv4Word(text));
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const plain = dotted
    ? `${dotted[1]}${((Number(dotted[2]) << 8) | Number(dotted[3])).toString(16)}:${((Number(dotted[4]) << 8) | Number(dotted[5])).toString(16)}`
    : text;
  const [head = '', tail] = plain.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((g) => Number.parseInt(g, 16));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Uint32Array.from({ length: 4 }, (_, i) => (((all[2 * i] ?? 0) << 16) | (all[2 * i + 1] ?? 0)) >>> 0);
}

/** Writes the four words of an address at `at`, and gives whether it is IPv4; allocates nothing for one that is. */
export function writeAddress(bytes: Buffer, text: string, at: number): boolean {
  if (isIPv4(text)) {
    bytes.fill(0, at, at + 8);
    bytes.writeUInt32BE(0xffff, at + 8);
    bytes.writeUInt32BE(ipv4Word(text), at + 12);
    return true;
  }
  const words = addressWords(text);
  if (!words) throw new TypeError(`not an address: ${text}`);
  for (let i = 0; i < words.length; i++) bytes.writeUInt32BE(words[i] as number, at + 4 * i);
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
}

/** Of a text that is an IPv4 address. */
function ipv4Word(text: string): number {
  let [word, byte] = [0, 0];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) [word, byte] = [word * 256 + byte, 0];
    else byte = byte * 10 + code - ZERO;
  }
  return word * 256 + byte;
}

/** Text of an address given as four words from `at`. IPv6 follows RFC 5952 section 4. */
export function addressText(words: ArrayLike<number>, at = 0): string {
  const w = [0, 1, 2, 3].map((i) => (words[at + i] ?? 0) >>> 0) as [number, number, number, number];
  if (w[0] === 0 && w[1] === 0 && w[2] === 0xffff) {
    return `${w[3] >>> 24}.${(w[3] >>> 16) & 255}.${(w[3] >>> 8) & 255}.${w[3] & 255}`;
  }
  const groups = w.flatMap((x) => [x >>> 16, x & 0xffff]);
  let best = { start: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > best.length) best = { start: i, length };
  }
  const hex = (part: number[]): string => part.map((g) => g.toString(16)).join(':');
  if (best.start < 0) return hex(groups);
  return `${hex(groups.slice(0, best.start))}::${hex(groups.slice(best.start + best.length))}`;
}

/** The same address in its canonical text, or undefined. */
export function canonicalAddress(text: string): string | undefined {
  // It can be written in one way only.
  if (isIPv4(text)) return text;
  const words = addressWords(text);
  return words && addressText(words);
}

export function formatEndpoint({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Reads `address:port` or `[address]:port`; undefined when it is neither. Port 0 is refused. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const address = canonicalAddress(match[1] ?? match[2] ?? '');
  const port = Number(match[3]);
  if (address === undefined || port < 1 || port > 65535) return undefined;
  if ((match[1] !== undefined) !== address.includes(':')) return undefined;
  return { address, port };
}

/** The tuple of packets from `source` to `destination`. Throws on text that is no address. */
export function tupleOf(source: Endpoint, destination: Endpoint): Tuple {
  const tuple = new Tuple();
  const from = addressWords(source.address);
  const to = addressWords(destination.address);
  if (!from || !to) throw new TypeError(`not an address: ${from ? destination.address : source.address}`);
  tuple.words.set(from, 0);
  tuple.words.set(to, 4);
  tuple.setPorts(source.port, destination.port);
  return tuple;
}

export function sourceOf(tuple: Tuple): Endpoint {
  return { address: addressText(tuple.words, 0), port: tuple.sourcePort };
}

export function destinationOf(tuple: Tuple): Endpoint {
  return { address: addressText(tuple.words, 4), port: tuple.destinationPort };
}
