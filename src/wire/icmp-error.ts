/**
 * ICMP and ICMPv6 errors on the packet path: what one says about which connection, and its translation.
 *
 * The quoted packet may be cut short and its transport checksum is not looked at (RFC 5508 REQ-3c): what
 * counts is its addresses, ports and sequence number, the first 8 bytes behind its IP header. Nothing here
 * allocates or throws.
 */
import { readI32, readU16, writeI32, writeU16 } from './bytes.js';
import { foldSum, sumBytes, updateChecksumSums } from './checksum.js';
import type { FrameView } from './frame.js';
import { FRAGMENTATION_NEEDED, ICMP, Icmpv4Type, Icmpv6Type } from './icmp.js';
import { addressSum, isFamilyOf, readAddresses, writeAddresses } from './ip.js';
import { IPV4, ipv4FragmentOffset, ipv4HeaderLength } from './ipv4.js';
import { hasMappedAddress, IPV6, Ipv6Walk, ipv6PseudoSum, WalkEnd } from './ipv6.js';
import { type SeqNum, seqNum } from './seq.js';
import { TCP } from './tcp.js';
import { Tuple } from './tuple.js';
import { IpProto } from './types.js';

/** Ports and sequence number: what an error quotes of TCP at the least (RFC 792). */
const QUOTED_TCP = 8;

/** What an error says and quotes; reused from packet to packet. */
export class IcmpErrorView {
  type = 0;
  code = 0;
  /** The MTU that the error brings, 0 when it brings none. */
  mtu = 0;
  /** Offset of the quoted IP header. */
  quoted = 0;
  /** Offset of the quoted TCP header. */
  quotedL4 = 0;
  /** True when TCP is quoted, with its ports and sequence number; `tuple` and `seq` need it. */
  hasTcp = false;
  /** As in the quoted packet: reversed, as against packets that travel the way of the error. */
  readonly tuple = new Tuple();
  seq: SeqNum = seqNum(0);
  readonly #walk = new Ipv6Walk();

  /** Reads a frame of kind IcmpError and returns `hasTcp`. */
  read(frame: FrameView): boolean {
    const { bytes, l4, end, ipVersion } = frame;
    this.type = bytes[l4 + ICMP.type];
    this.code = bytes[l4 + ICMP.code];
    this.mtu = this.#mtu(ipVersion, readI32(bytes, l4 + ICMP.info));
    this.quoted = l4 + ICMP.header;
    this.quotedL4 = this.quoted;
    this.hasTcp = ipVersion === 4 ? this.#findTcpv4(bytes, end) : this.#findTcpv6(bytes, end);
    if (!this.hasTcp) return false;
    readAddresses(bytes, this.quoted, ipVersion, this.tuple);
    this.tuple.words[8] = readI32(bytes, this.quotedL4 + TCP.sourcePort);
    this.seq = seqNum(readI32(bytes, this.quotedL4 + TCP.seq));
    return true;
  }

  #mtu(ipVersion: number, info: number): number {
    if (ipVersion === 6) return this.type === Icmpv6Type.PacketTooBig ? info >>> 0 : 0;
    return this.type === Icmpv4Type.Unreachable && this.code === FRAGMENTATION_NEEDED ? info & 0xffff : 0;
  }

  #findTcpv4(bytes: Uint8Array, end: number): boolean {
    const l3 = this.quoted;
    if (l3 + IPV4.minHeader > end || bytes[l3] >>> 4 !== 4) return false;
    const header = ipv4HeaderLength(bytes, l3);
    this.quotedL4 = l3 + header;
    if (header < IPV4.minHeader || this.quotedL4 + QUOTED_TCP > end) return false;
    return bytes[l3 + IPV4.protocol] === IpProto.Tcp && ipv4FragmentOffset(bytes, l3) === 0;
  }

  #findTcpv6(bytes: Uint8Array, end: number): boolean {
    const l3 = this.quoted;
    if (l3 + IPV6.header > end || bytes[l3] >>> 4 !== 6 || hasMappedAddress(bytes, l3)) return false;
    const walked = this.#walk.run(bytes, l3, end);
    this.quotedL4 = this.#walk.l4;
    if (walked !== WalkEnd.Upper && walked !== WalkEnd.Fragment) return false;
    if (this.#walk.protocol !== IpProto.Tcp || this.#walk.fragmentOffset !== 0) return false;
    return this.quotedL4 + QUOTED_TCP <= end;
  }
}

/** True when the checksum of an ICMP error is right; one that is wrong is not to be acted on (RFC 5508 REQ-3). */
export function isIcmpChecksumValid(frame: FrameView): boolean {
  const { bytes, l3, l4, end } = frame;
  const pseudo = frame.ipVersion === 4 ? 0 : ipv6PseudoSum(bytes, l3, IpProto.Icmpv6, end - l4);
  return foldSum(sumBytes(bytes, l4, end, pseudo)) === 0xffff;
}

/**
 * Makes an error about one connection the error about another: new addresses in the outer header (ports of
 * `outer` are not used), addresses, ports and sequence number restored in the quoted one. Type, code and MTU
 * stay. All checksums are kept incrementally, so that one that was wrong stays wrong; the quoted TCP
 * checksum, seldom whole, stays as it is.
 *
 * `error` is the view that read this frame, with `hasTcp`. False, and nothing written, when a family differs.
 */
export function translateIcmpError(
  frame: FrameView,
  error: IcmpErrorView,
  outer: Tuple,
  quoted: Tuple,
  quotedSeq: SeqNum,
): boolean {
  const { bytes, l3, l4, ipVersion } = frame;
  if (!error.hasTcp || !isFamilyOf(outer, ipVersion) || !isFamilyOf(quoted, ipVersion)) return false;
  const quotedEnd = error.quotedL4 + QUOTED_TCP;
  const before = coveredSum(frame, error.quoted, quotedEnd);
  writeAddresses(bytes, l3, ipVersion, outer);
  writeAddresses(bytes, error.quoted, ipVersion, quoted);
  writeI32(bytes, error.quotedL4 + TCP.sourcePort, quoted.words[8] | 0);
  writeI32(bytes, error.quotedL4 + TCP.seq, quotedSeq | 0);
  const after = coveredSum(frame, error.quoted, quotedEnd);
  const check = readU16(bytes, l4 + ICMP.checksum);
  writeU16(bytes, l4 + ICMP.checksum, updateChecksumSums(check, before, after));
  return true;
}

/** Sum of all that the ICMP checksum covers and the translation may change. */
function coveredSum(frame: FrameView, start: number, end: number): number {
  // Only ICMPv6 has a pseudo-header (RFC 4443 section 2.3).
  const outer = frame.ipVersion === 4 ? 0 : addressSum(frame.bytes, frame.l3, 6);
  return sumBytes(frame.bytes, start, end, outer);
}
