/**
 * TCP sequence numbers: unsigned 32-bit values on a circle (RFC 9293 section 3.4).
 *
 * Two of them compare by the sign of their difference, never with `<`; a test forbids the raw operators
 * on `SeqNum`. Nothing here allocates.
 */

declare const seqBrand: unique symbol;

/** A sequence number, 0 … 2³²−1. */
export type SeqNum = number & { readonly [seqBrand]: true };

/** Any integer taken modulo 2³². */
export function seqNum(value: number): SeqNum {
  return (value >>> 0) as SeqNum;
}

/** `a + n` modulo 2³²; `n` may be negative. */
export function seqAdd(a: SeqNum, n: number): SeqNum {
  return ((a + n) >>> 0) as SeqNum;
}

/** Signed distance from `b` to `a`, −2³¹ … 2³¹−1: positive when `a` comes after `b`. */
export function seqDiff(a: SeqNum, b: SeqNum): number {
  return ((a as number) - (b as number)) | 0;
}

export function seqAfter(a: SeqNum, b: SeqNum): boolean {
  return seqDiff(a, b) > 0;
}

export function seqMax(a: SeqNum, b: SeqNum): SeqNum {
  return seqDiff(a, b) >= 0 ? a : b;
}

export function seqMin(a: SeqNum, b: SeqNum): SeqNum {
  return seqDiff(a, b) <= 0 ? a : b;
}
