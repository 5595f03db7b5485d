/**
 * What the userspace data path does to a TCP frame that it sends on: new addresses, ports and header fields
 * in place, with every checksum right.
 *
 * A checksum that was whole is kept incrementally over the words that change (RFC 1624), so that data
 * corrupted here stays detectable at the far end and a bad checksum stays bad. One that was left to the
 * interface is computed in full, since a raw socket sends what it is given. Nothing here allocates or throws.
 */
import { readU16, writeI32, writeU16 } from './bytes.js';
import { finishChecksum, sumBytes, updateChecksumSums } from './checksum.js';
import { ChecksumState, type FrameView } from './frame.js';
import { addressSum, isFamilyOf, writeAddresses } from './ip.js';
import { IPV4, setIpv4Word } from './ipv4.js';
import { IPV6 } from './ipv6.js';
import type { TcpSegment } from './segment.js';
import { TCP, writeSegment } from './tcp.js';
import type { Tuple } from './tuple.js';

/** TTL or hop limit minus one. False, and nothing written, when it may not be forwarded any more. */
export function decrementTtl(frame: FrameView): boolean {
  if (frame.ttl <= 1) return false;
  frame.ttl -= 1;
  const { bytes, l3 } = frame;
  if (frame.ipVersion === 4) {
    setIpv4Word(bytes, l3, IPV4.ttl, (frame.ttl << 8) | bytes[l3 + IPV4.protocol]);
  } else {
    bytes[l3 + IPV6.hopLimit] = frame.ttl;
  }
  return true;
}

/**
 * Addresses, ports and header fields. `segment` was read from this frame and edited, `state` is what
 * `checksumState` said of it; afterwards the checksum is whole, unless it was bad, and then it stays so.
 * False, and nothing written, when the tuple is of the other family.
 */
export function rewriteTcp(
  frame: FrameView,
  segment: TcpSegment,
  tuple: Tuple,
  state: ChecksumState,
): boolean {
  const { bytes, l3, l4, ipVersion } = frame;
  if (!isFamilyOf(tuple, ipVersion)) return false;
  const before = headerSum(frame);
  writeAddresses(bytes, l3, ipVersion, tuple);
  writeI32(bytes, l4 + TCP.sourcePort, tuple.words[8] | 0);
  writeSegment(bytes, l4, segment);
  if (state === ChecksumState.Partial) {
    computeChecksum(frame);
  } else {
    const check = readU16(bytes, l4 + TCP.checksum);
    writeU16(bytes, l4 + TCP.checksum, updateChecksumSums(check, before, headerSum(frame)));
  }
  return true;
}

/** Sum of what a rewrite may change and the TCP checksum covers: words that stay cancel out. */
function headerSum(frame: FrameView): number {
  const { bytes, l4 } = frame;
  const sum = sumBytes(bytes, l4, l4 + TCP.checksum, addressSum(bytes, frame.l3, frame.ipVersion));
  return sumBytes(bytes, l4 + TCP.urgent, frame.payloadStart, sum);
}

/** The TCP checksum in full, over header and payload as they are. */
export function computeChecksum(frame: FrameView): void {
  const { bytes, l4, end } = frame;
  writeU16(bytes, l4 + TCP.checksum, 0);
  const sum = sumBytes(bytes, l4, end, frame.pseudoSum(end - l4));
  writeU16(bytes, l4 + TCP.checksum, finishChecksum(sum));
}
