/**
 * Big-endian reads and writes by shifts, and copies between arrays. Only `copyOf` allocates: `DataView` and
 * `subarray` would, once per packet. Callers have checked their bounds.
 */

export function readU16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

/**
 * A 32-bit word as a signed number, for the packet path: a number from 2³¹ on lives on the heap as soon as it
 * crosses a call that the compiler has not inlined. `>>> 0` where it is called makes it unsigned.
 */
export function readI32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}

/** The same as an unsigned number, where that does not matter. */
export function readU32(bytes: Uint8Array, at: number): number {
  return readI32(bytes, at) >>> 0;
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** Takes signed and unsigned; on the packet path give it `value | 0`, for the reason that `readI32` has. */
export function writeI32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Copies `length` bytes between two arrays that do not overlap. For headers; a loop beats `set` there. */
export function copyBytes(
  from: Uint8Array,
  fromAt: number,
  to: Uint8Array,
  toAt: number,
  length: number,
): void {
  for (let i = 0; i < length; i++) to[toAt + i] = from[fromAt + i];
}

/** A copy as a plain `Uint8Array`, whatever view was given (`slice` of a Buffer would share its memory). */
export function copyOf(bytes: Uint8Array, start: number, end = bytes.length): Uint8Array {
  return new Uint8Array(bytes.subarray(start, end));
}

/** Writes four 32-bit words of an IPv6 address. */
export function writeWords(bytes: Uint8Array, at: number, words: ArrayLike<number>, first: number): void {
  for (let i = 0; i < 4; i++) writeI32(bytes, at + 4 * i, words[first + i] | 0);
}
