/**
 * ICMP (RFC 792) and ICMPv6 (RFC 4443) errors: offsets, types, and the plain form. `icmp-error.ts` is for the
 * packet path.
 */
import { copyOf, readU32, writeI32, writeU16 } from './bytes.js';
import { finishChecksum, foldSum, sumBytes } from './checksum.js';
import { addressWords } from './endpoint.js';
import { IpProto } from './types.js';

/** Offsets; the same in both families. The quoted packet stands behind the header. */
export const ICMP = { type: 0, code: 1, checksum: 2, info: 4, header: 8 } as const;

export const Icmpv4Type = { Unreachable: 3, TimeExceeded: 11, ParameterProblem: 12 } as const;
export const Icmpv6Type = { Unreachable: 1, PacketTooBig: 2, TimeExceeded: 3, ParameterProblem: 4 } as const;
/** Code of an ICMPv4 Unreachable that brings a Next-Hop MTU (RFC 1191 section 4). */
export const FRAGMENTATION_NEEDED = 4;

/** Errors about a packet. Redirects are for the host next to the router, and source quench is obsolete (RFC 6633). */
export function isIcmpv4Error(type: number): boolean {
  return (
    type === Icmpv4Type.Unreachable ||
    type === Icmpv4Type.TimeExceeded ||
    type === Icmpv4Type.ParameterProblem
  );
}

export function isIcmpv6Error(type: number): boolean {
  return type >= Icmpv6Type.Unreachable && type <= Icmpv6Type.ParameterProblem;
}

export interface IcmpErrorRepr {
  readonly type: number;
  readonly code: number;
  /** The word behind the checksum: MTU, pointer or 0. */
  readonly info: number;
  /** The quoted packet, as much of it as there is. */
  readonly quoted: Uint8Array;
}

/** Undefined when it is too short, no error, or its checksum is wrong. */
export function parseIcmpv4Error(bytes: Uint8Array): IcmpErrorRepr | undefined {
  return isIcmpv4Error(bytes[ICMP.type]) ? parseError(bytes, 0) : undefined;
}

export function emitIcmpv4Error(repr: IcmpErrorRepr): Uint8Array {
  return emitError(repr, 0);
}

/** The addresses of the IPv6 header are part of the checksum (RFC 4443 section 2.3). */
export function parseIcmpv6Error(
  bytes: Uint8Array,
  source: string,
  destination: string,
): IcmpErrorRepr | undefined {
  if (!isIcmpv6Error(bytes[ICMP.type])) return undefined;
  return parseError(bytes, pseudoSum(source, destination, bytes.length));
}

export function emitIcmpv6Error(repr: IcmpErrorRepr, source: string, destination: string): Uint8Array {
  return emitError(repr, pseudoSum(source, destination, ICMP.header + repr.quoted.length));
}

function parseError(bytes: Uint8Array, pseudo: number): IcmpErrorRepr | undefined {
  if (bytes.length < ICMP.header) return undefined;
  if (foldSum(sumBytes(bytes, 0, bytes.length, pseudo)) !== 0xffff) return undefined;
  return {
    type: bytes[ICMP.type],
    code: bytes[ICMP.code],
    info: readU32(bytes, ICMP.info),
    quoted: copyOf(bytes, ICMP.header),
  };
}

function emitError(repr: IcmpErrorRepr, pseudo: number): Uint8Array {
  const out = new Uint8Array(ICMP.header + repr.quoted.length);
  out[ICMP.type] = repr.type;
  out[ICMP.code] = repr.code;
  writeI32(out, ICMP.info, repr.info);
  out.set(repr.quoted, ICMP.header);
  writeU16(out, ICMP.checksum, finishChecksum(sumBytes(out, 0, out.length, pseudo)));
  return out;
}

function pseudoSum(source: string, destination: string, length: number): number {
  let sum = IpProto.Icmpv6 + length;
  for (const text of [source, destination]) {
    const words = addressWords(text);
    if (!words) throw new TypeError(`not an address: ${text}`);
    for (const word of words) sum += (word >>> 16) + (word & 0xffff);
  }
  return sum;
}
