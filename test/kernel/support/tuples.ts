/** Tuples as the program has them, and the keys by which it finds their records. */
import type { Tuple } from '../../../src/wire/tuple.js';

/** A tuple as the program has it: nine words in network byte order. */
export function tupleBytes(tuple: Tuple, into = Buffer.alloc(36), at = 0): Buffer {
  for (let i = 0; i < 9; i++) into.writeUInt32BE(tuple.words[i] as number, at + 4 * i);
  return into;
}

/** bpf/segment.h: key_of. */
export function keyOf(tuple: Buffer): Buffer {
  const key = Buffer.alloc(16);
  const word = (i: number): number => tuple.readUInt32LE(4 * i);
  if (word(0) === 0 && word(1) === 0 && tuple.readUInt32BE(8) === 0xffff) {
    for (const [i, from] of [3, 7, 8].entries()) key.writeUInt32LE(word(from), 4 * i);
    key.writeUInt32LE(4, 12);
    return key;
  }
  let x = mix(word(0), word(1));
  x = mix(x ^ word(2), word(3));
  let y = mix(word(4) ^ x, word(5));
  y = mix(y ^ word(6), word(7));
  const rest = (6 | (mix(x ^ word(3), y ^ word(7)) << 8)) >>> 0;
  for (const [i, value] of [x, y, word(8), rest].entries()) key.writeUInt32LE(value, 4 * i);
  return key;
}

function mix(a: number, b: number): number {
  let x = Math.imul(a ^ (b >>> 15) ^ b, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
