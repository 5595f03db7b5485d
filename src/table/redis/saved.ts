/**
 * What a switch needs to go on with a stitched flow, as two short texts: `stitch.outer` and `stitch.inner` of its hash.
 *
 * Numbers of base 36 with blanks between, 64 bytes at most, so that the hash stays compact: version, delta, delta of
 * timestamps, the end's highest number, its last ack, the ack that it was given, its FIN's end or nothing, both window
 * scales in one, both MSS, and bits.
 */
import type { SavedConnection, SavedFlow } from '../../flow/restore.js';

const VERSION = 1;
const SCALES = 16;
const Bit = { timestamps: 1, sack: 2, ecn: 4 } as const;
const FIELDS = 10;

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
  return numbers.map((number) => number?.toString(36) ?? '').join(' ');
}

/** Undefined for nothing, and for what a newer version wrote; throws for what is neither. */
export function savedFrom(outer: string, inner: string): SavedFlow | undefined {
  const connections = [outer, inner].map(connectionFrom);
  const [first, second] = connections;
  return first && second && { outer: first, inner: second };
}

function connectionFrom(text: string): SavedConnection | undefined {
  const [version, ...fields] = text.split(' ');
  if (text === '' || version !== VERSION.toString(36)) return undefined;
  const numbers = fields.map((field) => (field === '' ? undefined : Number.parseInt(field, 36)));
  const [delta, tsDelta, farMax, farAck, toldAck, finEnd, scales, farMss, shellMss, bits] = numbers;
  if (fields.length < FIELDS || [...numbers.slice(0, 5), ...numbers.slice(6)].some((n) => !isWord(n))) {
    throw new TypeError(`not a saved connection: ${text}`);
  }
  const given = (value: number | undefined): number => value ?? 0;
  return {
    delta: given(delta),
    tsDelta: given(tsDelta),
    farScale: given(scales) >> 4,
    shellScale: given(scales) % SCALES,
    farMss: given(farMss),
    shellMss: given(shellMss),
    timestamps: (given(bits) & Bit.timestamps) !== 0,
    sack: (given(bits) & Bit.sack) !== 0,
    ecn: (given(bits) & Bit.ecn) !== 0,
    ...(finEnd !== undefined && { finEnd }),
    farMax: given(farMax),
    farAck: given(farAck),
    toldAck: given(toldAck),
  };
}

function isWord(value: number | undefined): boolean {
  return value !== undefined && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}
