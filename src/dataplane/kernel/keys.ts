/** By what the program finds a connection: `key_of` in bpf/segment.h. */
import { LAYOUT } from './layout.js';

const { tuple: TUPLE } = LAYOUT;
const KEY_BYTES = 16;
const IPV4_MARK = 4;
const IPV6_MARK = 6;

export function keyBuffer(): Buffer {
  return Buffer.alloc(KEY_BYTES);
}

/** Writes the key of the tuple at `at` of `record` into `key`. */
export function writeKey(key: Buffer, record: Buffer, at: number): void {
  const source = (i: number): number => record.readUInt32LE(at + TUPLE.source + 4 * i);
  const destination = (i: number): number => record.readUInt32LE(at + TUPLE.destination + 4 * i);
  const ports = record.readUInt32LE(at + TUPLE.ports);
  const isIpv4 = source(0) === 0 && source(1) === 0 && record.readUInt32BE(at + TUPLE.source + 8) === 0xffff;
  let [x, y] = [source(3), destination(3)];
  let last: number = IPV4_MARK;
  if (!isIpv4) {
    x = mix(source(0), source(1));
    x = mix(x ^ source(2), source(3));
    y = mix(destination(0) ^ x, destination(1));
    y = mix(y ^ destination(2), destination(3));
    last = (IPV6_MARK | (mix(x ^ source(3), y ^ destination(3)) << 8)) >>> 0;
  }
  for (const [i, word] of [x, y, ports, last].entries()) key.writeUInt32LE(word, 4 * i);
}

function mix(a: number, b: number): number {
  let x = Math.imul(a ^ (b >>> 15) ^ b, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
