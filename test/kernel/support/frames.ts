/** Frames for the differential tests, and packets as text. */

import { tcpPacket } from '../../../src/wire/build.js';
import { finishChecksum, foldSum, sumBytes } from '../../../src/wire/checksum.js';
import { FrameKind, FrameView } from '../../../src/wire/frame.js';
import { pseudoSum } from '../../../src/wire/ip.js';
import { computeChecksum } from '../../../src/wire/rewrite.js';
import { TcpFlag, TcpSegment } from '../../../src/wire/segment.js';
import { readSegment } from '../../../src/wire/tcp.js';
import { Tuple } from '../../../src/wire/tuple.js';
import { IpProto } from '../../../src/wire/types.js';

export const ETHERNET_HEADER = 14;
const PATTERN_PERIOD = 251;
const PATTERN = Buffer.from(Array.from({ length: 8192 }, (_, i) => (i % PATTERN_PERIOD) + 1));

/** The bytes of a stream from `seq` on: the same number always has the same byte. */
function payloadAt(seq: number, length: number): Buffer {
  const from = seq % PATTERN_PERIOD;
  return PATTERN.subarray(from, from + length);
}

/** A frame with a right checksum; its payload follows from its sequence number. */
export function frameOf(tuple: Tuple, segment: TcpSegment, hopLimit = 64): Buffer {
  const packet = tcpPacket(tuple, segment, payloadAt(segment.seq, segment.payloadLength), hopLimit);
  return ethernet(packet);
}

export function ethernet(packet: Uint8Array): Buffer {
  const frame = Buffer.alloc(ETHERNET_HEADER + packet.length);
  frame.writeUInt16BE((packet[0] as number) >>> 4 === 4 ? 0x0800 : 0x86dd, 12);
  frame.set(packet, ETHERNET_HEADER);
  return frame;
}

/** A TCP packet byte by byte: options and IP headers as no stack would write them. */
export interface RawPacket {
  readonly tuple: Tuple;
  readonly seq: number;
  readonly ack?: number;
  readonly flags: number;
  readonly window?: number;
  readonly urgent?: number;
  /** A multiple of 4 bytes. */
  readonly options?: Uint8Array;
  /** Payload bytes. */
  readonly length?: number;
  readonly ttl?: number;
  /** IPv4 options, a multiple of 4 bytes; or whole IPv6 extension headers, each begun by its own type. */
  readonly ipOptions?: Uint8Array;
  readonly extensions?: readonly { readonly type: number; readonly body: Uint8Array }[];
  /** The checksum is left to the interface: the field has the sum of the pseudo-header. */
  readonly partial?: boolean;
  /** Added to the right checksum. */
  readonly spoil?: number;
  /** Behind the packet, as padding of short Ethernet frames. */
  readonly padding?: number;
}

const TCP_HEADER = 20;

export function rawFrame(raw: RawPacket): Buffer {
  const { tuple, options = Buffer.alloc(0), length = 0 } = raw;
  const ip = tuple.isIpv4 ? ipv4Header(raw) : ipv6Header(raw);
  const tcp = Buffer.alloc(TCP_HEADER + options.length + length);
  tcp.writeUInt32BE(tuple.words[8] as number, 0);
  tcp.writeUInt32BE(raw.seq >>> 0, 4);
  tcp.writeUInt32BE((raw.ack ?? 0) >>> 0, 8);
  tcp[12] = ((TCP_HEADER + options.length) / 4) << 4;
  tcp[13] = raw.flags;
  tcp.writeUInt16BE(raw.window ?? 60_000, 14);
  tcp.writeUInt16BE(raw.urgent ?? 0, 18);
  tcp.set(options, TCP_HEADER);
  tcp.set(payloadAt(raw.seq >>> 0, length), TCP_HEADER + options.length);
  const packet = Buffer.concat([ip, tcp]);
  if (tuple.isIpv4) {
    packet.writeUInt16BE(packet.length, 2);
    packet.writeUInt16BE(finishChecksum(sumBytes(packet, 0, ip.length, 0)), 10);
  } else {
    packet.writeUInt16BE(packet.length - IPV6_HEADER, 4);
  }
  const pseudo = pseudoSum(packet, 0, tuple.isIpv4 ? 4 : 6, IpProto.Tcp, tcp.length);
  const check = finishChecksum(sumBytes(packet, ip.length, packet.length, pseudo));
  const field = raw.partial ? foldSum(pseudo) : (check + (raw.spoil ?? 0)) & 0xffff;
  packet.writeUInt16BE(field, ip.length + 16);
  return Buffer.concat([ethernet(packet), Buffer.alloc(raw.padding ?? 0)]);
}

const IPV4_HEADER = 20;
const IPV6_HEADER = 40;

function ipv4Header({ tuple, ttl = 64, ipOptions = Buffer.alloc(0) }: RawPacket): Buffer {
  const header = Buffer.alloc(IPV4_HEADER + ipOptions.length);
  header[0] = 0x40 | (header.length / 4);
  header[1] = 0x08;
  header.writeUInt16BE(0x1234, 4);
  header.writeUInt16BE(0x4000, 6);
  header[8] = ttl;
  header[9] = IpProto.Tcp;
  header.writeUInt32BE(tuple.words[3] as number, 12);
  header.writeUInt32BE(tuple.words[7] as number, 16);
  header.set(ipOptions, IPV4_HEADER);
  return header;
}

function ipv6Header({ tuple, ttl = 64, extensions = [] }: RawPacket): Buffer {
  const header = Buffer.alloc(IPV6_HEADER);
  header.writeUInt32BE(0x6081_2345, 0);
  header[6] = extensions[0]?.type ?? IpProto.Tcp;
  header[7] = ttl;
  for (let i = 0; i < 8; i++) header.writeUInt32BE(tuple.words[i] as number, 8 + 4 * i);
  const parts = extensions.map(({ body }, i) => {
    const part = Buffer.from(body);
    part[0] = extensions[i + 1]?.type ?? IpProto.Tcp;
    return part;
  });
  return Buffer.concat([header, ...parts]);
}

const view = new FrameView();
const segment = new TcpSegment();
const tuple = new Tuple();

/** With a checksum that was left to the interface made whole, as the interface does. Changes `packet`. */
export function wholeChecksum(packet: Buffer): Buffer {
  if (view.parseIp(packet, 0, packet.length) === FrameKind.Tcp && view.isPartial) computeChecksum(view);
  return packet;
}

export function isPartial(packet: Buffer): boolean {
  return view.parseIp(packet, 0, packet.length) === FrameKind.Tcp && view.isPartial;
}

export function describePacket(packet: Buffer): string {
  const kind = view.parseIp(packet, 0, packet.length);
  if (kind !== FrameKind.Tcp) return `kind ${kind}: ${packet.toString('hex')}`;
  readSegment(packet, view.l4, view.end, segment);
  view.readTuple(tuple);
  const flags = Object.entries(TcpFlag)
    .filter(([, bit]) => segment.flags & bit)
    .map(([name]) => name.toLowerCase());
  const { seq, ack, window, payloadLength, tsval, tsecr, sackCount } = segment;
  const sack = Array.from({ length: sackCount }, (_, i) => `${segment.sackLeft[i]}-${segment.sackRight[i]}`);
  const headers = packet.subarray(0, view.payloadStart).toString('hex');
  return `${tuple.sourcePort}>${tuple.destinationPort} ${flags.join('+')} seq ${seq}+${payloadLength} ack ${ack} win ${window} ts ${tsval}/${tsecr} sack ${sack.join()} state ${view.checksumState()} ${headers}`;
}
