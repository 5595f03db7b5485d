import t from 'tap';
import { tcpPacket } from '../../src/wire/build.js';
import type { FrameView } from '../../src/wire/frame.js';
import { IPV4, setIpv4Word } from '../../src/wire/ipv4.js';
import { emitIpv6, parseIpv6 } from '../../src/wire/ipv6.js';
import { computeChecksum } from '../../src/wire/rewrite.js';
import { OptionBit, TcpFlag, type TcpSegment } from '../../src/wire/segment.js';
import { Segmenter } from '../../src/wire/segmenter.js';
import { seqAdd, seqNum } from '../../src/wire/seq.js';
import { emitTcp } from '../../src/wire/tcp-emit.js';
import type { Tuple } from '../../src/wire/tuple.js';
import { IpProto } from '../../src/wire/types.js';
import { vector } from '../vectors/load.js';
import {
  faults,
  frameOf,
  other4,
  other6,
  pattern,
  segmentOf,
  segmentWith,
  tuple4,
  tuple6,
  tupleFrom,
} from './helpers.js';

const FAMILIES: [string, Tuple, Tuple, Tuple, number][] = [
  ['IPv4', tuple4, other4, other6, 20],
  ['IPv6', tuple6, other6, other4, 40],
];

/** The packets, copied out. */
function cut(
  frame: FrameView,
  segment: TcpSegment,
  tuple: Tuple,
  from: number,
  to: number,
  mss: number,
): Uint8Array[] {
  const segmenter = new Segmenter();
  const packets: Uint8Array[] = [];
  if (!segmenter.begin(frame, segment, tuple, from, to, mss)) throw new Error('refused');
  while (segmenter.next()) packets.push(frame.bytes.slice(segmenter.start, segmenter.end));
  return packets;
}

const flagsOf = (packet: Uint8Array): number => segmentOf(frameOf(packet)).flags;
const { Fin, Psh, Ack, Cwr, Urg } = TcpFlag;

for (const [family, tuple, other, foreign, l3Length] of FAMILIES) {
  t.test(`${family}: a super-frame of 64 KB`, async (t) => {
    const payload = pattern(65000);
    const whole = segmentWith({
      seq: seqNum(0xffffff00),
      flags: Ack | Psh | Fin | Cwr,
      options: OptionBit.Timestamps,
      tsval: 5,
      tsecr: 6,
    });
    const packet = tcpPacket(tuple, whole, payload);
    if (l3Length === 20) setIpv4Word(packet, 0, IPV4.id, 0xfff0);
    const before = packet.slice();
    const frame = frameOf(packet);
    const segment = segmentOf(frame);
    segment.seq = seqAdd(segment.seq, 1000);
    segment.tsval = 0xabcdef01;
    const packets = cut(frame, segment, other, 0, 65000, 1460);

    t.equal(packets.length, Math.ceil(65000 / 1448));
    t.strictSame(packet, before, 'the frame is as it was');
    let at = 0;
    for (const [i, one] of packets.entries()) {
      const piece = frameOf(one);
      const last = i === packets.length - 1;
      t.strictSame(faults(one), [], `packet ${i}`);
      t.ok(tupleFrom(piece, tuple).equals(other));
      t.match(segmentOf(piece), {
        seq: seqAdd(segment.seq, at),
        tsval: 0xabcdef01,
        tsecr: 6,
        payloadLength: last ? 65000 % 1448 : 1448,
        flags: Ack | (last ? Psh | Fin : 0) | (i === 0 ? Cwr : 0),
      });
      t.strictSame(one.slice(piece.payloadStart), payload.slice(at, at + 1448));
      if (l3Length === 20) t.equal(one[4] * 256 + one[5], (0xfff0 + i) % 65536, 'IPv4 ID');
      at += 1448;
    }
  });

  t.test(`${family}: parts of a payload`, async (t) => {
    const payload = pattern(3000);
    const packet = tcpPacket(tuple, segmentWith({}), payload);
    const before = packet.slice();
    const frame = frameOf(packet);
    for (const [from, to, mss, count] of [
      [0, 3000, 3000, 1],
      [0, 3000, 2999, 2],
      [0, 10, 1460, 1],
      [2999, 3000, 1460, 1],
      [1000, 2000, 1460, 1],
      [1000, 3000, 1000, 2],
      [5, 100, 60, 2],
      [1, 3000, 100, 30],
      [0, 80, 1, 10],
    ] as const) {
      const packets = cut(frame, segmentOf(frame), other, from, to, mss);
      const label = `${from}…${to} by ${mss}`;
      t.equal(packets.length, count, label);
      const bytes = packets.flatMap((one) => [...one.subarray(frameOf(one).payloadStart)]);
      t.strictSame(Uint8Array.from(bytes), payload.slice(from, to), label);
      t.strictSame(
        packets.flatMap((one) => faults(one)),
        [],
        label,
      );
      t.strictSame(packet, before, label);
    }
  });

  t.test(`${family}: without payload one packet, the header`, async (t) => {
    const packet = tcpPacket(tuple, segmentWith({}), pattern(500));
    const frame = frameOf(packet);
    for (const at of [0, 250, 500]) {
      const packets = cut(frame, segmentOf(frame), other, at, at, 1460);
      t.equal(packets.length, 1);
      t.strictSame(faults(packets[0]), []);
      t.equal(packets[0].length, l3Length + 20);
    }
  });

  t.test(`${family}: options count against the MSS, and no MSS makes a flood`, async (t) => {
    const full = segmentWith({ options: OptionBit.Timestamps | OptionBit.Sack, sackCount: 3 });
    const frame = frameOf(tcpPacket(tuple, full, pattern(1000)));
    const sizes = (mss: number) =>
      cut(frame, segmentOf(frame), other, 0, 1000, mss).map((p) => segmentOf(frameOf(p)).payloadLength);
    t.strictSame(sizes(540), [500, 500]);
    t.strictSame(sizes(0), new Array(125).fill(8));
    t.strictSame(sizes(48), new Array(125).fill(8));
  });

  t.test(`${family}: the urgent pointer goes on pointing at the same byte`, async (t) => {
    const frame = frameOf(tcpPacket(tuple, segmentWith({ flags: Ack | Urg, urgent: 150 }), pattern(300)));
    const got = cut(frame, segmentOf(frame), other, 0, 300, 100).map((p) => segmentOf(frameOf(p)));
    t.strictSame(
      got.map((s) => [s.has(Urg), s.urgent]),
      [
        [true, 150],
        [true, 50],
        [false, 0],
      ],
    );
  });

  t.test(`${family}: what cannot be cut is refused`, async (t) => {
    const packet = tcpPacket(tuple, segmentWith({}), pattern(100));
    const before = packet.slice();
    const frame = frameOf(packet);
    const segmenter = new Segmenter();
    const segment = segmentOf(frame);
    t.equal(segmenter.begin(frame, segment, foreign, 0, 100, 1460), false);
    t.equal(segmenter.begin(frame, segment, other, 0, 101, 1460), false);
    t.equal(segmenter.begin(frame, segment, other, 60, 50, 1460), false);
    t.equal(segmenter.begin(frame, segment, other, -1, 50, 1460), false);
    t.equal(segmenter.next(), false);
    t.strictSame(packet, before);
  });

  t.test(`${family}: stopping early puts the frame back`, async (t) => {
    const packet = tcpPacket(tuple, segmentWith({}), pattern(1000));
    const before = packet.slice();
    const frame = frameOf(packet);
    const segmenter = new Segmenter();
    segmenter.begin(frame, segmentOf(frame), other, 0, 1000, 100);
    segmenter.next();
    segmenter.next();
    t.notSame(packet, before);
    segmenter.finish();
    t.strictSame(packet, before);
    t.equal(segmenter.next(), false);
    segmenter.begin(frame, segmentOf(frame), other, 0, 1000, 100);
    segmenter.next();
    segmenter.begin(frame, segmentOf(frame), other, 500, 600, 100);
    t.strictSame(packet, before, 'beginning anew does so too');
    t.equal(segmenter.next(), true);
    t.equal(segmenter.next(), false);
    t.equal(segmenter.next(), false);
  });

  t.test(`${family}: FIN and PSH without more than one packet`, async (t) => {
    const frame = frameOf(tcpPacket(tuple, segmentWith({ flags: Ack | Fin | Psh | Cwr }), pattern(100)));
    t.strictSame(cut(frame, segmentOf(frame), other, 0, 100, 1460).map(flagsOf), [Ack | Fin | Psh | Cwr]);
  });
}

t.test('a frame in the midst of a buffer, with VLAN tags', async (t) => {
  for (const [name, other] of [
    ['vlan-ipv4', other4],
    ['qinq-ipv6', other6],
  ] as const) {
    const bytes = vector(name);
    const store = new Uint8Array(bytes.length + 100).fill(0xcc);
    store.set(bytes, 51);
    const before = store.slice();
    const frame = frameOf(new Uint8Array(0));
    frame.parse(store, 51 + bytes.length, 51);
    const packets = cut(frame, segmentOf(frame), other, 3, 8, 1460);
    t.strictSame(packets.map(faults), [[]], name);
    t.equal(Buffer.from(packets[0].slice(-5)).toString(), ' 300\n');
    t.ok(tupleFrom(frameOf(packets[0]), other).equals(other));
    t.strictSame(store, before);
  }
});

t.test('IPv4: a right header checksum stays right, a wrong one wrong', async (t) => {
  const packet = tcpPacket(tuple4, segmentWith({}), pattern(1000));
  const frame = frameOf(packet);
  const segment = segmentOf(frame);
  for (const one of cut(frame, segment, other4, 0, 1000, 300)) t.strictSame(faults(one), []);
  packet[1] ^= 4;
  for (const one of cut(frame, segment, other4, 0, 1000, 300)) {
    t.strictSame(faults(one), ['IPv4 header checksum']);
  }
});

t.test('IPv6: extension headers go with every packet and count against the MSS', async (t) => {
  const plain = parseIpv6(tcpPacket(tuple6, segmentWith({}), pattern(1000)));
  if (!plain) throw new Error('not parsed');
  const packet = emitIpv6({
    ...plain,
    extensions: [{ header: IpProto.Destination, body: Uint8Array.of(1, 4, 0, 0, 0, 0) }],
  });
  const frame = frameOf(packet);
  computeChecksum(frame);
  const packets = cut(frame, segmentOf(frame), other6, 0, 1000, 508);
  t.strictSame(
    packets.map((one) => one.length),
    [40 + 8 + 20 + 500, 40 + 8 + 20 + 500],
  );
  for (const one of packets) t.strictSame(faults(one), []);
});

t.test('the longest headers there can be', async (t) => {
  const body = new Uint8Array(2046);
  const payload = pattern(100);
  const options = { options: OptionBit.Timestamps | OptionBit.Sack, sackCount: 3, tsval: 1, tsecr: 2 };
  const packet = emitIpv6({
    source: 'fd00:201:1::2',
    destination: 'fd00:201:2::2',
    trafficClass: 0,
    flowLabel: 0,
    hopLimit: 9,
    extensions: Array.from({ length: 8 }, () => ({ header: IpProto.Destination, body })),
    nextHeader: IpProto.Tcp,
    payload: emitTcp(segmentWith(options), 1, 2, payload),
  });
  const frame = frameOf(packet);
  computeChecksum(frame);
  const before = packet.slice();
  const packets = cut(frame, segmentOf(frame), other6, 0, 100, 90);
  t.strictSame(packet, before, 'the frame is as it was');
  t.ok(packets.length > 1);
  for (const one of packets) t.strictSame(faults(one), []);
  const parts = packets.map((one) => one.slice(frameOf(one).payloadStart));
  t.strictSame(Uint8Array.from(parts.flatMap((part) => [...part])), payload);
});
