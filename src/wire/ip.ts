/** What both IP families have, told apart by `ipVersion` (4 or 6). Nothing here allocates. */
import { readI32, readU16, writeI32, writeU16, writeWords } from './bytes.js';
import { updateChecksumSums } from './checksum.js';
import { IPV4, ipv4AddressSum, ipv4PseudoSum } from './ipv4.js';
import { IPV6, ipv6AddressSum, ipv6PseudoSum } from './ipv6.js';
import type { Tuple } from './tuple.js';
import type { IpProto } from './types.js';

export function isFamilyOf(tuple: Tuple, ipVersion: number): boolean {
  return tuple.isIpv4 === (ipVersion === 4);
}

/** Addresses of the IP header at `l3` into words 0–7. */
export function readAddresses(bytes: Uint8Array, l3: number, ipVersion: number, tuple: Tuple): void {
  const { words } = tuple;
  if (ipVersion === 4) {
    tuple.setIpv4(0, 0);
    words[3] = readI32(bytes, l3 + IPV4.source);
    words[7] = readI32(bytes, l3 + IPV4.destination);
    return;
  }
  for (let i = 0; i < 8; i++) words[i] = readI32(bytes, l3 + IPV6.source + 4 * i);
}

/** Writes both addresses and keeps the IPv4 header checksum incrementally. The family is the header's. */
export function writeAddresses(bytes: Uint8Array, l3: number, ipVersion: number, tuple: Tuple): void {
  if (ipVersion !== 4) {
    writeWords(bytes, l3 + IPV6.source, tuple.words, 0);
    writeWords(bytes, l3 + IPV6.destination, tuple.words, 4);
    return;
  }
  const before = ipv4AddressSum(bytes, l3);
  writeI32(bytes, l3 + IPV4.source, tuple.words[3] | 0);
  writeI32(bytes, l3 + IPV4.destination, tuple.words[7] | 0);
  const check = readU16(bytes, l3 + IPV4.checksum);
  writeU16(bytes, l3 + IPV4.checksum, updateChecksumSums(check, before, ipv4AddressSum(bytes, l3)));
}

export function addressSum(bytes: Uint8Array, l3: number, ipVersion: number): number {
  return ipVersion === 4 ? ipv4AddressSum(bytes, l3) : ipv6AddressSum(bytes, l3);
}

/** Sum of the pseudo-header of `length` bytes of a transport protocol. */
export function pseudoSum(
  bytes: Uint8Array,
  l3: number,
  ipVersion: number,
  protocol: IpProto,
  length: number,
): number {
  return ipVersion === 4
    ? ipv4PseudoSum(bytes, l3, protocol, length)
    : ipv6PseudoSum(bytes, l3, protocol, length);
}
