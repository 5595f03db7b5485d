/** Whole IP packets with TCP made from scratch: bare acks and resets for the data path, any packet for tests. */
import { writeU16 } from './bytes.js';
import { finishChecksum, sumBytes } from './checksum.js';
import { pseudoSum } from './ip.js';
import { IPV4, writeIpv4Header } from './ipv4.js';
import { IPV6, writeIpv6Header } from './ipv6.js';
import type { TcpSegment } from './segment.js';
import { TCP, TCP_MAX_HEADER } from './tcp.js';
import { emitTcp, writeTcpHeader } from './tcp-emit.js';
import type { Tuple } from './tuple.js';
import { IpProto } from './types.js';

/** Room that `buildTcp` needs at the most. */
export const MAX_BUILT = IPV6.header + TCP_MAX_HEADER;

/**
 * Writes a bare IP packet without payload into `out` and returns its length. Allocates nothing. Of the
 * options those that `writeTcpHeader` knows are written; `segment.payloadLength` is not used.
 */
export function buildTcp(out: Uint8Array, tuple: Tuple, segment: TcpSegment, hopLimit: number): number {
  const l4 = tuple.isIpv4 ? IPV4.minHeader : IPV6.header;
  const header = writeTcpHeader(out, l4, segment, tuple.sourcePort, tuple.destinationPort);
  finishPacket(out, tuple, l4, l4 + header, hopLimit);
  return l4 + header;
}

/** A bare IP packet with payload, and with every option whose bit is set (see `emitTcp`). Allocates. */
export function tcpPacket(
  tuple: Tuple,
  segment: TcpSegment,
  payload: Uint8Array = new Uint8Array(0),
  hopLimit = 64,
): Uint8Array {
  const l4 = tuple.isIpv4 ? IPV4.minHeader : IPV6.header;
  const transport = emitTcp(segment, tuple.sourcePort, tuple.destinationPort, payload);
  const out = new Uint8Array(l4 + transport.length);
  out.set(transport, l4);
  finishPacket(out, tuple, l4, out.length, hopLimit);
  return out;
}

/** Writes the IP header in front of the segment at `l4`, and both checksums. */
function finishPacket(out: Uint8Array, tuple: Tuple, l4: number, end: number, hopLimit: number): void {
  const { words } = tuple;
  const version = tuple.isIpv4 ? 4 : 6;
  if (version === 4) writeIpv4Header(out, 0, words, IpProto.Tcp, hopLimit, end);
  else writeIpv6Header(out, 0, words, IpProto.Tcp, hopLimit, end - l4);
  const sum = sumBytes(out, l4, end, pseudoSum(out, 0, version, IpProto.Tcp, end - l4));
  writeU16(out, l4 + TCP.checksum, finishChecksum(sum));
}
