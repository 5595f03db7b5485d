/**
 * What a switch needs to go on with a stitched flow, as two short texts: `stitch.outer` and `stitch.inner` of its hash.
 *
 * Numbers of base 36 with blanks between, 64 bytes at most, so that the hash stays compact: version, delta, delta of
 * timestamps, the end's highest number, its last ack, the ack that it was given, its FIN's end or nothing, both window
 * scales in one, both MSS, and bits.
 */
import type { SavedConnection, SavedFlow } from '../../flow/restore.js';

const VERSION = 1;
const BASE = 36;
const NONE = -1;
const [BLANK, ZERO, NINE, LOWER_A, LOWER_Z] = [0x20, 0x30, 0x39, 0x61, 0x7a];
const SCALES = 16;
const Bit = { timestamps: 1, sack: 2, ecn: 4 } as const;

export function savedText(saved: SavedConnection | undefined): string {
  if (!saved) return '';
  const { timestamps, sack, ecn } = saved;
  const bits = (timestamps ? Bit.timestamps : 0) | (sack ? Bit.sack : 0) | (ecn ? Bit.ecn : 0);
  const numbers = [
    VERSION,
    saved.delta,
    saved.tsDelta,
    saved.farMax,
    saved.farAck,
    saved.toldAck,
    saved.finEnd,
    saved.farScale * SCALES + saved.shellScale,
    saved.farMss,
    saved.shellMss,
    bits,
  ];
  return numbers.map((number) => number?.toString(BASE) ?? '').join(' ');
}

/** Undefined for nothing, and for what a newer version wrote; throws for what is neither. */
export function savedFrom(outer: string, inner: string): SavedFlow | undefined {
  const first = connectionFrom(outer);
  const second = connectionFrom(inner);
  return first && second && { outer: first, inner: second };
}

function connectionFrom(text: string): SavedConnection | undefined {
  if (text === '') return undefined;
  const numbers = numbersIn(text);
  if (numbers[0] !== VERSION) return undefined;
  const word = (i: number): number => {
    const value = numbers[i];
    if (value !== undefined && value >= 0 && value < 2 ** 32) return value;
    throw new TypeError(`not a saved connection: ${text}`);
  };
  const [scales, bits] = [word(7), word(10)];
  const connection = {
    delta: word(1),
    tsDelta: word(2),
    farScale: scales >> 4,
    shellScale: scales % SCALES,
    farMss: word(8),
    shellMss: word(9),
    timestamps: (bits & Bit.timestamps) !== 0,
    sack: (bits & Bit.sack) !== 0,
    ecn: (bits & Bit.ecn) !== 0,
    farMax: word(3),
    farAck: word(4),
    toldAck: word(5),
  };
  return numbers[6] === NONE ? connection : { ...connection, finEnd: word(6) };
}

/** Of base 36 with blanks between: `NONE` for nothing, and NaN for what is no number. */
function numbersIn(text: string): number[] {
  const numbers: number[] = [];
  let value = NONE;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === BLANK) {
      numbers.push(value);
      value = NONE;
      continue;
    }
    let digit = Number.NaN;
    if (code >= ZERO && code <= NINE) digit = code - ZERO;
    else if (code >= LOWER_A && code <= LOWER_Z) digit = code - LOWER_A + 10;
    value = (value === NONE ? 0 : value * BASE) + digit;
  }
  numbers.push(value);
  return numbers;
}
