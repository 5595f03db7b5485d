/**
 * A received packet as offsets into the buffer that it was captured in. One `FrameView` is reused for all
 * packets: parsing allocates nothing, throws nothing and never reads at or behind the given length.
 *
 * Malformed is told apart from Other. Malformed: the packet contradicts itself or was cut short, and is
 * counted. Other: a packet that is none of ours, for the host to deal with.
 */
import { readI32, readU16 } from './bytes.js';
import { foldSum, sumBytes } from './checksum.js';
import { ETHERNET, etherTypeOffset, namesVlan, VLAN_TAG_LENGTH } from './ethernet.js';
import { ICMP, isIcmpv4Error, isIcmpv6Error } from './icmp.js';
import { pseudoSum, readAddresses } from './ip.js';
import { IPV4, ipv4HeaderLength, isIpv4Fragment } from './ipv4.js';
import { hasMappedAddress, IPV6, Ipv6Walk, WalkEnd } from './ipv6.js';
import { isTcpHeader, TCP, tcpHeaderLength } from './tcp.js';
import type { Tuple } from './tuple.js';
import { EtherType, IpProto } from './types.js';

export const FrameKind = {
  /** TCP, whole, with a header whose lengths are possible. Its options are not looked at. */
  Tcp: 0,
  /** Any fragment of IPv4 or IPv6, the first and the only one included. */
  Fragment: 1,
  /** ICMP or ICMPv6 error; `IcmpErrorView` reads what it quotes. */
  IcmpError: 2,
  Other: 3,
  Malformed: 4,
} as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

export const ChecksumState = {
  /** The checksum is right. */
  Valid: 0,
  /**
   * The field holds the folded sum of the pseudo-header, not complemented, and the rest was left to the
   * interface: what Linux does in packets of its own with checksum offload (CHECKSUM_PARTIAL).
   */
  Partial: 1,
  Bad: 2,
} as const;
export type ChecksumState = (typeof ChecksumState)[keyof typeof ChecksumState];

const NOTHING = new Uint8Array(0);

export class FrameView {
  bytes: Uint8Array = NOTHING;
  kind: FrameKind = FrameKind.Malformed;
  /** Number of VLAN tags in front of the IP header. */
  vlanTags = 0;
  /** True when a tag names a VLAN; a priority tag (VLAN id 0) does not. */
  isOnVlan = false;
  /** 4 or 6; 0 when there is no IP header. */
  ipVersion = 0;
  /** Offset of the IP header. */
  l3 = 0;
  /** Offset of the transport header; of a fragment, of what it carries. */
  l4 = 0;
  /** End of the IP packet by its own length field, which Ethernet padding may follow. */
  end = 0;
  /** TTL or hop limit. */
  ttl = 0;
  /** Of what stands at `l4`. */
  protocol: IpProto = IpProto.NoNext;
  /** Length of the TCP header. */
  headerLength = 0;
  /** Offset of the TCP payload. */
  payloadStart = 0;
  readonly #walk = new Ipv6Walk();

  /** The Ethernet frame in `bytes` from `start` up to `length`, which counts from the buffer's beginning. */
  parse(bytes: Uint8Array, length: number, start = 0): FrameKind {
    const at = etherTypeOffset(bytes, start, length);
    if (at < 0) {
      this.#reset(bytes, start);
      return FrameKind.Malformed;
    }
    const etherType = readU16(bytes, at);
    const l3 = at + 2;
    if (etherType === EtherType.Ipv4 || etherType === EtherType.Ipv6) {
      this.parseIp(bytes, l3, length);
      if (this.ipVersion !== (etherType === EtherType.Ipv4 ? 4 : 6)) this.kind = FrameKind.Malformed;
    } else {
      this.#reset(bytes, l3);
      this.kind = FrameKind.Other;
    }
    this.vlanTags = (l3 - start - ETHERNET.header) / VLAN_TAG_LENGTH;
    this.isOnVlan = namesVlan(bytes, start, at);
    return this.kind;
  }

  /** The bare IP packet in `bytes` from `start`, of which `end` (exclusive) was received. */
  parseIp(bytes: Uint8Array, start: number, end: number): FrameKind {
    this.#reset(bytes, start);
    if (start >= end) return this.kind;
    const version = bytes[start] >>> 4;
    if (version === 4) this.kind = this.#parseIpv4(end);
    else if (version === 6) this.kind = this.#parseIpv6(end);
    return this.kind;
  }

  #reset(bytes: Uint8Array, l3: number): void {
    this.bytes = bytes;
    this.kind = FrameKind.Malformed;
    this.vlanTags = 0;
    this.isOnVlan = false;
    this.ipVersion = 0;
    this.l3 = l3;
    this.l4 = l3;
    this.end = l3;
    this.ttl = 0;
    this.protocol = IpProto.NoNext;
    this.headerLength = 0;
    this.payloadStart = l3;
  }

  #parseIpv4(received: number): FrameKind {
    const { bytes, l3 } = this;
    this.ipVersion = 4;
    if (l3 + IPV4.minHeader > received) return FrameKind.Malformed;
    const header = ipv4HeaderLength(bytes, l3);
    const total = readU16(bytes, l3 + IPV4.totalLength);
    // Linux writes a total length of 0 in super-frames beyond 64 KB; they are not to be handled either.
    if (header < IPV4.minHeader || total < header || l3 + total > received) return FrameKind.Malformed;
    this.l4 = l3 + header;
    this.end = l3 + total;
    this.ttl = bytes[l3 + IPV4.ttl];
    this.protocol = bytes[l3 + IPV4.protocol] as IpProto;
    return isIpv4Fragment(bytes, l3) ? FrameKind.Fragment : this.#parseTransport();
  }

  #parseIpv6(received: number): FrameKind {
    const { bytes, l3 } = this;
    this.ipVersion = 6;
    if (l3 + IPV6.header > received) return FrameKind.Malformed;
    const payload = readU16(bytes, l3 + IPV6.payloadLength);
    const next = bytes[l3 + IPV6.nextHeader];
    // A jumbogram has its length in a hop-by-hop option (RFC 2675 section 3).
    if (payload === 0 && next === IpProto.HopByHop) return FrameKind.Other;
    this.l4 = l3 + IPV6.header;
    this.end = this.l4 + payload;
    if (this.end > received) return FrameKind.Malformed;
    this.ttl = bytes[l3 + IPV6.hopLimit];
    const walked = this.#walk.run(bytes, l3, this.end);
    this.l4 = this.#walk.l4;
    this.protocol = this.#walk.protocol;
    if (walked === WalkEnd.Malformed) return FrameKind.Malformed;
    if (walked === WalkEnd.Stop) return FrameKind.Other;
    // In a `Tuple` such an address would be the IPv4 one.
    if (hasMappedAddress(bytes, l3)) return FrameKind.Other;
    return walked === WalkEnd.Fragment ? FrameKind.Fragment : this.#parseTransport();
  }

  #parseTransport(): FrameKind {
    const { bytes, l4, end } = this;
    if (this.protocol === IpProto.Tcp) {
      if (!isTcpHeader(bytes, l4, end)) return FrameKind.Malformed;
      this.headerLength = tcpHeaderLength(bytes, l4);
      this.payloadStart = l4 + this.headerLength;
      return FrameKind.Tcp;
    }
    const icmp = this.ipVersion === 4 ? IpProto.Icmp : IpProto.Icmpv6;
    if (this.protocol !== icmp) return FrameKind.Other;
    if (l4 + ICMP.header > end) return FrameKind.Malformed;
    const type = bytes[l4 + ICMP.type];
    const isError = this.ipVersion === 4 ? isIcmpv4Error(type) : isIcmpv6Error(type);
    return isError ? FrameKind.IcmpError : FrameKind.Other;
  }

  /** The frame's addresses, and its ports when it is TCP (0 otherwise). Needs a frame with an IP header. */
  readTuple(tuple: Tuple): void {
    readAddresses(this.bytes, this.l3, this.ipVersion, tuple);
    tuple.words[8] = this.kind === FrameKind.Tcp ? readI32(this.bytes, this.l4 + TCP.sourcePort) : 0;
  }

  /** Sum of the pseudo-header of a TCP segment of `length` bytes. */
  pseudoSum(length: number): number {
    return pseudoSum(this.bytes, this.l3, this.ipVersion, IpProto.Tcp, length);
  }

  /** True for a TCP frame whose checksum was left to the interface. Looks at the headers only. */
  get isPartial(): boolean {
    const field = readU16(this.bytes, this.l4 + TCP.checksum);
    return field === foldSum(this.pseudoSum(this.end - this.l4));
  }

  /** Of a TCP frame. Reads the whole payload, unless the checksum is partial. */
  checksumState(): ChecksumState {
    // One right checksum in 65536 looks partial as well. Computing it anew, as is done then, is right too.
    if (this.isPartial) return ChecksumState.Partial;
    const sum = sumBytes(this.bytes, this.l4, this.end, this.pseudoSum(this.end - this.l4));
    return foldSum(sum) === 0xffff ? ChecksumState.Valid : ChecksumState.Bad;
  }
}
