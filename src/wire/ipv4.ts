/**
 * IPv4 headers (RFC 791): offsets, what the packet path asks of them, and the plain form.
 */
import { copyOf, readU16, readU32, writeI32, writeU16 } from './bytes.js';
import { finishChecksum, foldSum, sumBytes, updateChecksum } from './checksum.js';
import { addressText, addressWords } from './endpoint.js';
import type { IpProto } from './types.js';

export const IPV4 = {
  versionIhl: 0,
  tos: 1,
  totalLength: 2,
  id: 4,
  /** Three flag bits and the fragment offset. */
  fragment: 6,
  ttl: 8,
  protocol: 9,
  checksum: 10,
  source: 12,
  destination: 16,
  /** The shortest header; options follow. */
  minHeader: 20,
} as const;
const IPV4_ADDRESS_LENGTH = 4;

const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;

/** Header length in bytes by the IHL field, unchecked. */
export function ipv4HeaderLength(bytes: Uint8Array, l3: number): number {
  return (bytes[l3 + IPV4.versionIhl] & 0x0f) * 4;
}

/** Any fragment: the first one has MF set, the others an offset. */
export function isIpv4Fragment(bytes: Uint8Array, l3: number): boolean {
  return (readU16(bytes, l3 + IPV4.fragment) & (MORE_FRAGMENTS | OFFSET_MASK)) !== 0;
}

/** Fragment offset in bytes. */
export function ipv4FragmentOffset(bytes: Uint8Array, l3: number): number {
  return (readU16(bytes, l3 + IPV4.fragment) & OFFSET_MASK) * 8;
}

/** Writes one 16-bit field at an even offset of the header and keeps the header checksum incrementally. */
export function setIpv4Word(bytes: Uint8Array, l3: number, offset: number, value: number): void {
  const check = readU16(bytes, l3 + IPV4.checksum);
  const word = value & 0xffff;
  const before = readU16(bytes, l3 + offset);
  writeU16(bytes, l3 + offset, word);
  writeU16(bytes, l3 + IPV4.checksum, updateChecksum(check, before, word));
}

/** Sum of both addresses. */
export function ipv4AddressSum(bytes: Uint8Array, l3: number): number {
  return sumBytes(bytes, l3 + IPV4.source, l3 + IPV4.destination + IPV4_ADDRESS_LENGTH, 0);
}

/** Sum of the pseudo-header for `length` bytes of a transport protocol (RFC 9293 section 3.1). */
export function ipv4PseudoSum(bytes: Uint8Array, l3: number, protocol: IpProto, length: number): number {
  return ipv4AddressSum(bytes, l3) + protocol + length;
}

/**
 * A header of 20 bytes with checksum, DF set and ID 0: an atomic datagram (RFC 6864 section 4). Addresses are
 * words 3 and 7 of `words`, as a `Tuple` has them.
 */
export function writeIpv4Header(
  out: Uint8Array,
  l3: number,
  words: ArrayLike<number>,
  protocol: IpProto,
  ttl: number,
  totalLength: number,
): void {
  writeU16(out, l3 + IPV4.versionIhl, 0x4500);
  writeU16(out, l3 + IPV4.totalLength, totalLength);
  writeU16(out, l3 + IPV4.id, 0);
  writeU16(out, l3 + IPV4.fragment, DONT_FRAGMENT);
  out[l3 + IPV4.ttl] = ttl;
  out[l3 + IPV4.protocol] = protocol;
  writeU16(out, l3 + IPV4.checksum, 0);
  writeI32(out, l3 + IPV4.source, words[3] | 0);
  writeI32(out, l3 + IPV4.destination, words[7] | 0);
  writeU16(out, l3 + IPV4.checksum, finishChecksum(sumBytes(out, l3, l3 + IPV4.minHeader, 0)));
}

export interface Ipv4Repr {
  readonly source: string;
  readonly destination: string;
  readonly protocol: IpProto;
  readonly ttl: number;
  /** DSCP and ECN. */
  readonly tos: number;
  readonly id: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In bytes, a multiple of 8. */
  readonly fragmentOffset: number;
  /** Raw options, padded to a multiple of 4 bytes. */
  readonly options: Uint8Array;
  readonly payload: Uint8Array;
}

/** Undefined when a length is impossible or the header checksum is wrong. Bytes after the packet are ignored. */
export function parseIpv4(bytes: Uint8Array): Ipv4Repr | undefined {
  if (bytes.length < IPV4.minHeader || bytes[IPV4.versionIhl] >>> 4 !== 4) return undefined;
  const header = ipv4HeaderLength(bytes, 0);
  const total = readU16(bytes, IPV4.totalLength);
  if (header < IPV4.minHeader || total < header || total > bytes.length) return undefined;
  if (foldSum(sumBytes(bytes, 0, header, 0)) !== 0xffff) return undefined;
  const fragment = readU16(bytes, IPV4.fragment);
  return {
    source: addressText([0, 0, 0xffff, readU32(bytes, IPV4.source)]),
    destination: addressText([0, 0, 0xffff, readU32(bytes, IPV4.destination)]),
    protocol: bytes[IPV4.protocol] as IpProto,
    ttl: bytes[IPV4.ttl],
    tos: bytes[IPV4.tos],
    id: readU16(bytes, IPV4.id),
    dontFragment: (fragment & DONT_FRAGMENT) !== 0,
    moreFragments: (fragment & MORE_FRAGMENTS) !== 0,
    fragmentOffset: ipv4FragmentOffset(bytes, 0),
    options: copyOf(bytes, IPV4.minHeader, header),
    payload: copyOf(bytes, header, total),
  };
}

/** Throws on an address that is not IPv4. */
export function emitIpv4(repr: Ipv4Repr): Uint8Array {
  const header = IPV4.minHeader + repr.options.length;
  const out = new Uint8Array(header + repr.payload.length);
  const words = [...ipv4Words(repr.source), ...ipv4Words(repr.destination)];
  writeIpv4Header(out, 0, words, repr.protocol, repr.ttl, out.length);
  out[IPV4.versionIhl] = 0x40 | (header / 4);
  out[IPV4.tos] = repr.tos;
  writeU16(out, IPV4.id, repr.id);
  const flags = (repr.dontFragment ? DONT_FRAGMENT : 0) | (repr.moreFragments ? MORE_FRAGMENTS : 0);
  writeU16(out, IPV4.fragment, flags | (repr.fragmentOffset / 8));
  out.set(repr.options, IPV4.minHeader);
  writeU16(out, IPV4.checksum, 0);
  writeU16(out, IPV4.checksum, finishChecksum(sumBytes(out, 0, header, 0)));
  out.set(repr.payload, header);
  return out;
}

function ipv4Words(text: string): Uint32Array {
  const words = addressWords(text);
  if (!words || text.includes(':')) throw new TypeError(`not an IPv4 address: ${text}`);
  return words;
}
