import t from 'tap';
import { buildTcp, MAX_BUILT, tcpPacket } from '../../src/wire/build.js';
import { ChecksumState, FrameKind } from '../../src/wire/frame.js';
import { OptionBit, TcpFlag, type TcpSegment } from '../../src/wire/segment.js';
import { faults, frameOf, pattern, segmentOf, segmentWith, tuple4, tuple6, tupleFrom } from './helpers.js';

const sack = (count: number, more = 0): TcpSegment => {
  const segment = segmentWith({ options: OptionBit.Sack | more, sackCount: count });
  if (more === OptionBit.Timestamps) Object.assign(segment, { tsval: 1, tsecr: 2 });
  for (let i = 0; i < count; i++) {
    segment.sackLeft[i] = 0xfffffff0 + i;
    segment.sackRight[i] = 100 + i;
  }
  return segment;
};

const CASES: [string, TcpSegment, number][] = [
  ['a bare ack', segmentWith({}), 20],
  ['a reset', segmentWith({ flags: TcpFlag.Rst }), 20],
  ['timestamps', segmentWith({ options: OptionBit.Timestamps, tsval: 0xfffffffe, tsecr: 3 }), 32],
  ['one SACK block', sack(1), 32],
  ['four SACK blocks', sack(4), 56],
  ['timestamps and three SACK blocks', sack(3, OptionBit.Timestamps), 60],
  [
    'a SYN',
    segmentWith({
      flags: TcpFlag.Syn,
      options: OptionBit.Mss | OptionBit.WindowScale | OptionBit.SackPermitted | OptionBit.Timestamps,
      mss: 1460,
      windowScale: 14,
      tsval: 1,
    }),
    44,
  ],
];

for (const tuple of [tuple4, tuple6]) {
  for (const [name, segment, header] of CASES) {
    t.test(`${name}, ${tuple.isIpv4 ? 'IPv4' : 'IPv6'}`, async (t) => {
      const out = new Uint8Array(MAX_BUILT + 8).fill(0xee);
      const length = buildTcp(out, tuple, segment, 63);
      t.equal(length, (tuple.isIpv4 ? 20 : 40) + header);
      t.ok(
        out.subarray(length).every((b) => b === 0xee),
        'nothing behind it is written',
      );
      const packet = out.slice(0, length);
      t.strictSame(faults(packet), []);
      const frame = frameOf(packet);
      t.equal(frame.kind, FrameKind.Tcp);
      t.equal(frame.ttl, 63);
      t.equal(frame.checksumState(), ChecksumState.Valid);
      t.ok(tupleFrom(frame, tuple).equals(tuple));
      t.strictSame({ ...segmentOf(frame) }, { ...segment });
      t.strictSame(tcpPacket(tuple, segment, undefined, 63), packet, 'the same as the one that allocates');
    });
  }
}

t.test('of four SACK blocks beside timestamps three are sent', async (t) => {
  const frame = frameOf(tcpPacket(tuple4, sack(4, OptionBit.Timestamps)));
  t.equal(segmentOf(frame).sackCount, 3);
});

t.test('beside the options of a SYN there is room for one', async (t) => {
  const { Mss, WindowScale, SackPermitted, Timestamps } = OptionBit;
  const frame = frameOf(tcpPacket(tuple4, sack(4, Mss | WindowScale | SackPermitted | Timestamps)));
  t.equal(segmentOf(frame).sackCount, 1);
});

t.test('SACK without a block is not written', async (t) => {
  t.equal(tcpPacket(tuple4, sack(0)).length, 40);
});

t.test('IPv4: an atomic datagram', async (t) => {
  const packet = tcpPacket(tuple4, segmentWith({}));
  t.strictSame([...packet.subarray(4, 8)], [0, 0, 0x40, 0]);
});

t.test('IPv6: no traffic class, no flow label', async (t) => {
  t.strictSame([...tcpPacket(tuple6, segmentWith({})).subarray(0, 8)], [0x60, 0, 0, 0, 0, 20, 6, 64]);
});

t.test('with payload', async (t) => {
  for (const tuple of [tuple4, tuple6]) {
    const payload = pattern(1001);
    const packet = tcpPacket(tuple, segmentWith({ options: OptionBit.Timestamps }), payload);
    t.strictSame(faults(packet), []);
    const frame = frameOf(packet);
    t.equal(segmentOf(frame).payloadLength, 1001);
    t.strictSame(packet.slice(frame.payloadStart, frame.end), payload);
  }
});
