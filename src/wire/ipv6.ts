/**
 * IPv6 headers and extension headers (RFC 8200): offsets, the walk to the transport header, the plain form.
 */
import { copyOf, readI32, readU16, readU32, writeI32, writeU16, writeWords } from './bytes.js';
import { sumBytes } from './checksum.js';
import { addressText, addressWords } from './endpoint.js';
import { IpProto } from './types.js';

export const IPV6 = {
  /** Version, traffic class, flow label. */
  versionClassFlow: 0,
  payloadLength: 4,
  nextHeader: 6,
  hopLimit: 7,
  source: 8,
  destination: 24,
  header: 40,
} as const;
const IPV6_ADDRESS_LENGTH = 16;

const EXTENSION = { nextHeader: 0, length: 1, body: 2, minimum: 8 } as const;
const ROUTING_SEGMENTS_LEFT = 3;
const FRAGMENT = { offset: 2, header: 8, offsetMask: 0xfff8 } as const;
/** No sane packet has more; each may stand once, but for destination options (RFC 8200 section 4.1). */
export const MAX_EXTENSIONS = 8;

/** How the walk over the extension headers ended. */
export const WalkEnd = {
  /** At a header that is no extension known here; `protocol` names it. */
  Upper: 0,
  /** At a fragment header; `l4` is behind it and `protocol` what the original packet goes on with. */
  Fragment: 1,
  /** A header ends behind the packet, or stands where it must not. */
  Malformed: 2,
  /** Understood, but nothing to read on for: still to be source-routed, or too many headers. */
  Stop: 3,
} as const;
export type WalkEnd = (typeof WalkEnd)[keyof typeof WalkEnd];

/** The result of a walk; reused. */
export class Ipv6Walk {
  l4 = 0;
  protocol: IpProto = IpProto.NoNext;
  /** Of a fragment, in bytes. */
  fragmentOffset = 0;

  /**
   * From the IPv6 header at `l3` to the transport header. AH and ESP end it: what is behind them is
   * authenticated or hidden and cannot be rewritten. A routing header with segments left ends it as well,
   * since the address that the transport checksum covers is then not the one in the header (section 8.1).
   */
  run(bytes: Uint8Array, l3: number, end: number): WalkEnd {
    let next = bytes[l3 + IPV6.nextHeader];
    let at = l3 + IPV6.header;
    this.fragmentOffset = 0;
    for (let count = 0; ; count++) {
      this.l4 = at;
      this.protocol = next as IpProto;
      if (!isExtension(next)) return WalkEnd.Upper;
      if (count === MAX_EXTENSIONS) return WalkEnd.Stop;
      if (at + EXTENSION.minimum > end) return WalkEnd.Malformed;
      // Section 4.3: hop-by-hop options stand directly after the IPv6 header.
      if (next === IpProto.HopByHop && count > 0) return WalkEnd.Malformed;
      if (next === IpProto.Fragment) return this.#fragment(bytes, at);
      const length = (bytes[at + EXTENSION.length] + 1) * 8;
      if (at + length > end) return WalkEnd.Malformed;
      if (next === IpProto.Routing && bytes[at + ROUTING_SEGMENTS_LEFT] !== 0) return WalkEnd.Stop;
      next = bytes[at + EXTENSION.nextHeader];
      at += length;
    }
  }

  #fragment(bytes: Uint8Array, at: number): WalkEnd {
    this.protocol = bytes[at + EXTENSION.nextHeader] as IpProto;
    this.fragmentOffset = readU16(bytes, at + FRAGMENT.offset) & FRAGMENT.offsetMask;
    this.l4 = at + FRAGMENT.header;
    return WalkEnd.Fragment;
  }
}

function isExtension(next: number): boolean {
  return (
    next === IpProto.HopByHop ||
    next === IpProto.Routing ||
    next === IpProto.Fragment ||
    next === IpProto.Destination
  );
}

/** An IPv4-mapped address on the wire is nobody's, and must not be taken for the IPv4 one. */
export function hasMappedAddress(bytes: Uint8Array, l3: number): boolean {
  return isMappedAddress(bytes, l3 + IPV6.source) || isMappedAddress(bytes, l3 + IPV6.destination);
}

function isMappedAddress(bytes: Uint8Array, at: number): boolean {
  return readI32(bytes, at) === 0 && readI32(bytes, at + 4) === 0 && readI32(bytes, at + 8) === 0xffff;
}

/** Sum of both addresses. */
export function ipv6AddressSum(bytes: Uint8Array, l3: number): number {
  return sumBytes(bytes, l3 + IPV6.source, l3 + IPV6.destination + IPV6_ADDRESS_LENGTH, 0);
}

/** Sum of the pseudo-header (RFC 8200 section 8.1). Its length has 32 bits, which an unfolded sum takes as they are. */
export function ipv6PseudoSum(bytes: Uint8Array, l3: number, protocol: IpProto, length: number): number {
  return ipv6AddressSum(bytes, l3) + protocol + length;
}

/** A header with traffic class and flow label 0. Addresses are words `source` … and `destination` … of `words`. */
export function writeIpv6Header(
  out: Uint8Array,
  l3: number,
  words: ArrayLike<number>,
  nextHeader: IpProto,
  hopLimit: number,
  payloadLength: number,
): void {
  writeI32(out, l3 + IPV6.versionClassFlow, 0x60000000);
  writeU16(out, l3 + IPV6.payloadLength, payloadLength);
  out[l3 + IPV6.nextHeader] = nextHeader;
  out[l3 + IPV6.hopLimit] = hopLimit;
  writeWords(out, l3 + IPV6.source, words, 0);
  writeWords(out, l3 + IPV6.destination, words, 4);
}

export interface Ipv6Extension {
  readonly header: IpProto;
  /** What follows the next-header and length bytes. 6 bytes more than a multiple of 8. */
  readonly body: Uint8Array;
}

export interface Ipv6Repr {
  readonly source: string;
  readonly destination: string;
  readonly trafficClass: number;
  readonly flowLabel: number;
  readonly hopLimit: number;
  readonly extensions: readonly Ipv6Extension[];
  /** What stands behind the last extension header. */
  readonly nextHeader: IpProto;
  readonly payload: Uint8Array;
}

/** Undefined when a length is impossible. Bytes after the packet are ignored. */
export function parseIpv6(bytes: Uint8Array): Ipv6Repr | undefined {
  if (bytes.length < IPV6.header || bytes[IPV6.versionClassFlow] >>> 4 !== 6) return undefined;
  const end = IPV6.header + readU16(bytes, IPV6.payloadLength);
  if (end > bytes.length) return undefined;
  const extensions: Ipv6Extension[] = [];
  let next = bytes[IPV6.nextHeader];
  let at: number = IPV6.header;
  // What follows a fragment header is a piece of something, not a header to look into.
  while (isExtension(next) && extensions.at(-1)?.header !== IpProto.Fragment) {
    if (at + EXTENSION.minimum > end) return undefined;
    const length =
      next === IpProto.Fragment ? FRAGMENT.header : (bytes[at + EXTENSION.length] + 1) * EXTENSION.minimum;
    if (at + length > end) return undefined;
    extensions.push({ header: next as IpProto, body: copyOf(bytes, at + EXTENSION.body, at + length) });
    next = bytes[at + EXTENSION.nextHeader];
    at += length;
  }
  const first = readU32(bytes, IPV6.versionClassFlow);
  return {
    source: addressAt(bytes, IPV6.source),
    destination: addressAt(bytes, IPV6.destination),
    trafficClass: (first >>> 20) & 0xff,
    flowLabel: first & 0xfffff,
    hopLimit: bytes[IPV6.hopLimit],
    extensions,
    nextHeader: next as IpProto,
    payload: copyOf(bytes, at, end),
  };
}

/** Throws on an address that is not IPv6. */
export function emitIpv6(repr: Ipv6Repr): Uint8Array {
  const parts = repr.extensions.map(({ header, body }, i) => {
    const part = new Uint8Array(EXTENSION.body + body.length);
    part[EXTENSION.nextHeader] = repr.extensions[i + 1]?.header ?? repr.nextHeader;
    part[EXTENSION.length] = header === IpProto.Fragment ? 0 : part.length / EXTENSION.minimum - 1;
    part.set(body, EXTENSION.body);
    return part;
  });
  const payload = Buffer.concat([...parts, repr.payload]);
  const out = new Uint8Array(IPV6.header + payload.length);
  const words = [...ipv6Words(repr.source), ...ipv6Words(repr.destination)];
  writeIpv6Header(
    out,
    0,
    words,
    repr.extensions[0]?.header ?? repr.nextHeader,
    repr.hopLimit,
    payload.length,
  );
  writeI32(out, IPV6.versionClassFlow, 0x60000000 | (repr.trafficClass << 20) | repr.flowLabel);
  out.set(payload, IPV6.header);
  return out;
}

/** The address as text, an IPv4-mapped one written out as the IPv6 address that it is on the wire. */
function addressAt(bytes: Uint8Array, at: number): string {
  if (isMappedAddress(bytes, at)) {
    return `::ffff:${readU16(bytes, at + 12).toString(16)}:${readU16(bytes, at + 14).toString(16)}`;
  }
  return addressText([0, 4, 8, 12].map((offset) => readU32(bytes, at + offset)));
}

function ipv6Words(text: string): Uint32Array {
  const words = addressWords(text);
  if (!words || !text.includes(':')) throw new TypeError(`not an IPv6 address: ${text}`);
  return words;
}
