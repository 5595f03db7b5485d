/**
 * The Internet checksum (RFC 1071), in full and incrementally (RFC 1624).
 *
 * A *sum* is a plain number that 16-bit words were added to, not yet folded; sums of several ranges add up
 * as numbers. A *checksum* is the folded and complemented sum, as it stands in a header. Each range counts
 * from an even position: only the last one may have an odd length (RFC 1071 section 4.1 pads it with zero).
 *
 * Nothing here allocates, except that `sumBytes` makes one view for each buffer it has not met lately.
 */

/** Ranges shorter than this are summed byte by byte: headers, for which the view does not pay. */
const WIDE_FROM = 128;

/** RFC 1071 section 2 (B): a sum taken in the machine's byte order is the right one, bytes swapped. */
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** 32-bit views of the two buffers last summed: a capture buffer, and one that packets are built in. */
let recentView: Uint32Array = new Uint32Array(0);
let otherView: Uint32Array = new Uint32Array(0);

function viewOf(buffer: ArrayBufferLike): Uint32Array {
  if (recentView.buffer === buffer) return recentView;
  const previous = recentView;
  recentView = otherView.buffer === buffer ? otherView : new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
  otherView = previous;
  return recentView;
}

/** `initial` plus the 16-bit big-endian words of bytes `start` … `end` (exclusive). Not folded. */
export function sumBytes(bytes: Uint8Array, start: number, end: number, initial: number): number {
  if (end - start >= WIDE_FROM) return initial + sumWide(bytes, start, end);
  let sum = initial;
  let at = start;
  for (; at + 1 < end; at += 2) sum += (bytes[at] << 8) | bytes[at + 1];
  if (at < end) sum += bytes[at] << 8;
  return sum;
}

/**
 * The folded sum of a long range, 32 bits at a time. Since 2³² ≡ 2¹⁶ ≡ 1 (mod 0xffff), words of any of
 * these widths sum to the same, and a double holds 2²¹ of the wide ones exactly: more than any packet has.
 */
function sumWide(bytes: Uint8Array, start: number, end: number): number {
  const words = viewOf(bytes.buffer);
  const base = bytes.byteOffset;
  // Bytes before the first whole word; the words' first byte is then at an odd position when `lead` is odd.
  const lead = -(base + start) & 3;
  const from = start + lead;
  let at = (base + from) >>> 2;
  const wordEnd = at + ((end - from) >>> 2);
  const eights = at + ((wordEnd - at) & ~7);
  let wide = 0;
  for (; at < eights; at += 8) {
    wide +=
      words[at] +
      words[at + 1] +
      (words[at + 2] + words[at + 3]) +
      (words[at + 4] + words[at + 5] + (words[at + 6] + words[at + 7]));
  }
  for (; at < wordEnd; at++) wide += words[at];

  const low = wide >>> 0;
  let middle = foldSum((low >>> 16) + (low & 0xffff) + (wide - low) / 0x1_0000_0000);
  if (LITTLE_ENDIAN !== ((lead & 1) === 1)) middle = swap16(middle);

  let sum = middle;
  for (let i = start; i < from; i++) sum += (i - start) & 1 ? bytes[i] : bytes[i] << 8;
  for (let i = wordEnd * 4 - base; i < end; i++) sum += (i - start) & 1 ? bytes[i] : bytes[i] << 8;
  return sum;
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

/** A sum brought into 16 bits by end-around carry. Only 0 folds to 0; other multiples of 0xffff give 0xffff. */
export function foldSum(sum: number): number {
  let folded = (sum & 0xffff) + (sum >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/** The checksum for a sum: folded and complemented. */
export function finishChecksum(sum: number): number {
  return ~foldSum(sum) & 0xffff;
}

/** Checksum after one 16-bit word has changed: RFC 1624 equation 3, HC' = ~(~HC + ~m + m'). */
export function updateChecksum(check: number, oldWord: number, newWord: number): number {
  return finishChecksum((~check & 0xffff) + (~oldWord & 0xffff) + newWord);
}

/** The same for any number of words, given by their sums before and after. */
export function updateChecksumSums(check: number, oldSum: number, newSum: number): number {
  return finishChecksum((~check & 0xffff) + (~foldSum(oldSum) & 0xffff) + foldSum(newSum));
}
