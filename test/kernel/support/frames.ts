/** Frames for the differential tests, and packets as text. */

import { tcpPacket } from '../../../src/wire/build.js';
import { FrameKind, FrameView } from '../../../src/wire/frame.js';
import { computeChecksum } from '../../../src/wire/rewrite.js';
import { TcpFlag, TcpSegment } from '../../../src/wire/segment.js';
import { readSegment } from '../../../src/wire/tcp.js';
import { emitTcp } from '../../../src/wire/tcp-emit.js';
import { Tuple } from '../../../src/wire/tuple.js';

export const ETHERNET_HEADER = 14;
const PATTERN_PERIOD = 251;
const PATTERN = Buffer.from(Array.from({ length: 8192 }, (_, i) => (i % PATTERN_PERIOD) + 1));

/** The bytes of a stream from `seq` on: the same number always has the same byte. */
export function payloadAt(seq: number, length: number): Buffer {
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

export { emitTcp };

const view = new FrameView();
const segment = new TcpSegment();
const tuple = new Tuple();

/** With a checksum that was left to the interface made whole, as the interface does. Changes `packet`. */
export function wholeChecksum(packet: Buffer): Buffer {
  if (view.parseIp(packet, 0, packet.length) === FrameKind.Tcp && view.isPartial) computeChecksum(view);
  return packet;
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
