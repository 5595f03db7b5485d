/** Checksums and packets for the wire tests, written the slow and plain way. */
import { tupleOf } from '../../src/wire/endpoint.js';
import { FrameView } from '../../src/wire/frame.js';
import { TcpSegment } from '../../src/wire/segment.js';
import { seqNum } from '../../src/wire/seq.js';
import { readSegment, TcpParse } from '../../src/wire/tcp.js';
import type { Tuple } from '../../src/wire/tuple.js';

export const tuple4 = tupleOf({ address: '10.201.1.2', port: 40000 }, { address: '10.201.2.2', port: 8080 });
export const tuple6 = tupleOf(
  { address: 'fd00:201:1::2', port: 40000 },
  { address: 'fd00:201:2::2', port: 8080 },
);
/** Where the frames of the other two are translated to. */
export const other4 = tupleOf({ address: '10.201.2.2', port: 20001 }, { address: '10.201.3.2', port: 9090 });
export const other6 = tupleOf(
  { address: 'fd00:201:2::2', port: 20001 },
  { address: 'fd00:201:3:ffff::2', port: 9090 },
);

/** RFC 1071, word by word, with the carry added at once. */
export function naiveSum(bytes: Uint8Array, initial = 0): number {
  let sum = initial;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i] ?? 0) * 256 + (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

/** What is wrong with the lengths and checksums of a bare IP packet with TCP; empty when nothing is. */
export function faults(packet: Uint8Array): string[] {
  const found: string[] = [];
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const isIpv4 = view.getUint8(0) >>> 4 === 4;
  const l4 = isIpv4 ? (view.getUint8(0) & 15) * 4 : ipv6Transport(view);
  const length = isIpv4 ? view.getUint16(2) : 40 + view.getUint16(4);
  if (length !== packet.length) found.push(`length ${length}, bytes ${packet.length}`);
  if (isIpv4 && naiveSum(packet.subarray(0, l4)) !== 0xffff) found.push('IPv4 header checksum');
  const addresses = isIpv4 ? packet.subarray(12, 20) : packet.subarray(8, 40);
  const pseudo = naiveSum(addresses, 6 + (packet.length - l4));
  if (naiveSum(packet.subarray(l4), pseudo % 0xffff || 0xffff) !== 0xffff) found.push('TCP checksum');
  return found;
}

function ipv6Transport(view: DataView): number {
  let next = view.getUint8(6);
  let at = 40;
  while (next !== 6) {
    if (![0, 43, 60].includes(next)) throw new Error(`header ${next} is not expected here`);
    next = view.getUint8(at);
    at += 8 + 8 * view.getUint8(at + 1);
  }
  return at;
}

export function frameOf(packet: Uint8Array): FrameView {
  const frame = new FrameView();
  frame.parseIp(packet, 0, packet.length);
  return frame;
}

export function segmentOf(frame: FrameView): TcpSegment {
  const segment = new TcpSegment();
  if (readSegment(frame.bytes, frame.l4, frame.end, segment) !== TcpParse.Ok) throw new Error('malformed');
  return segment;
}

export function segmentWith(fields: Partial<TcpSegment>): TcpSegment {
  return Object.assign(
    new TcpSegment(),
    { seq: seqNum(1000), ack: seqNum(2000), flags: 0x10, window: 501 },
    fields,
  );
}

export function tupleFrom(frame: FrameView, like: Tuple): Tuple {
  const tuple = like.clone();
  frame.readTuple(tuple);
  return tuple;
}

/** Bytes that are not all alike and not a short cycle. */
export function pattern(length: number, seed = 1): Uint8Array {
  let x = seed;
  return Uint8Array.from({ length }, () => {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    return x >>> 16;
  });
}
