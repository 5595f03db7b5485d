import t from 'tap';
import { tcpPacket } from '../../src/wire/build.js';
import { ChecksumState, type FrameView } from '../../src/wire/frame.js';
import { decrementTtl, rewriteTcp } from '../../src/wire/rewrite.js';
import { OptionBit } from '../../src/wire/segment.js';
import { seqAdd } from '../../src/wire/seq.js';
import { writeSegment } from '../../src/wire/tcp.js';
import type { Tuple } from '../../src/wire/tuple.js';
import { vector } from '../vectors/load.js';
import {
  faults,
  frameOf,
  naiveSum,
  other4,
  other6,
  pattern,
  segmentOf,
  segmentWith,
  tuple4,
  tuple6,
  tupleFrom,
} from './helpers.js';

const FAMILIES: [string, Tuple, Tuple, Tuple][] = [
  ['IPv4', tuple4, other4, other6],
  ['IPv6', tuple6, other6, other4],
];

/** Leaves the checksum to the interface, as Linux does: the pseudo-header's sum, not complemented. */
function makePartial(packet: Uint8Array): FrameView {
  const frame = frameOf(packet);
  const addresses = frame.ipVersion === 4 ? packet.subarray(12, 20) : packet.subarray(8, 40);
  const sum = naiveSum(addresses, 6 + (frame.end - frame.l4));
  packet[frame.l4 + 16] = sum >>> 8;
  packet[frame.l4 + 17] = sum;
  return frame;
}

const rich = segmentWith({
  options: OptionBit.Timestamps | OptionBit.Sack,
  sackCount: 2,
  tsval: 9,
  tsecr: 8,
});

for (const [family, tuple, other, foreign] of FAMILIES) {
  t.test(`${family}: rewriting a whole checksum`, async (t) => {
    const packet = tcpPacket(tuple, rich, pattern(1337));
    const frame = frameOf(packet);
    const segment = segmentOf(frame);
    segment.seq = seqAdd(segment.seq, -5000);
    segment.ack = seqAdd(segment.ack, 0x7fffffff);
    segment.window = 3;
    segment.tsval = 0xfffffff0;
    segment.sackCount = 1;
    segment.sackLeft[0] = 77;
    t.equal(rewriteTcp(frame, segment, other, frame.checksumState()), true);
    t.strictSame(faults(packet), []);
    t.ok(tupleFrom(frame, tuple).equals(other));
    t.match(segmentOf(frame), {
      seq: segment.seq,
      ack: segment.ack,
      window: 3,
      tsval: 0xfffffff0,
      sackCount: 1,
    });
    t.strictSame(packet.slice(frame.payloadStart), pattern(1337), 'the payload is left');
  });

  t.test(`${family}: a payload corrupted in memory stays detectable`, async (t) => {
    const packet = tcpPacket(tuple, rich, pattern(1337));
    const frame = frameOf(packet);
    const segment = segmentOf(frame);
    const state = frame.checksumState();
    packet[packet.length - 3] ^= 0x10;
    segment.seq = seqAdd(segment.seq, 1);
    rewriteTcp(frame, segment, other, state);
    t.strictSame(faults(packet), ['TCP checksum']);
    packet[packet.length - 3] ^= 0x10;
    t.strictSame(faults(packet), [], 'and nothing else was wrong');
  });

  t.test(`${family}: a bad checksum stays bad`, async (t) => {
    const packet = tcpPacket(tuple, rich, pattern(99));
    packet[packet.length - 1] ^= 0xff;
    const frame = frameOf(packet);
    t.equal(frame.checksumState(), ChecksumState.Bad);
    rewriteTcp(frame, segmentOf(frame), other, ChecksumState.Bad);
    t.equal(frame.checksumState(), ChecksumState.Bad);
  });

  t.test(`${family}: a partial checksum is made whole`, async (t) => {
    for (const length of [0, 1, 1448, 65000]) {
      const packet = tcpPacket(tuple, rich, pattern(length));
      const frame = makePartial(packet);
      t.equal(frame.checksumState(), ChecksumState.Partial);
      const segment = segmentOf(frame);
      segment.seq = seqAdd(segment.seq, 123456789);
      t.equal(rewriteTcp(frame, segment, other, ChecksumState.Partial), true);
      t.strictSame(faults(packet), [], `${length} bytes`);
    }
  });

  t.test(`${family}: a tuple of the other family changes nothing`, async (t) => {
    const packet = tcpPacket(tuple, rich, pattern(10));
    const before = packet.slice();
    const frame = frameOf(packet);
    t.equal(rewriteTcp(frame, segmentOf(frame), foreign, ChecksumState.Valid), false);
    t.strictSame(packet, before);
  });

  t.test(`${family}: TTL`, async (t) => {
    const packet = tcpPacket(tuple, rich, pattern(10), 2);
    const frame = frameOf(packet);
    t.equal(decrementTtl(frame), true);
    t.equal(frame.ttl, 1);
    t.equal(packet[frame.ipVersion === 4 ? 8 : 7], 1);
    t.strictSame(faults(packet), []);
    t.equal(decrementTtl(frame), false, 'a packet that may go no further');
    t.equal(packet[frame.ipVersion === 4 ? 8 : 7], 1, 'is left to the host as it is');
    const zero = frameOf(tcpPacket(tuple, rich, pattern(10), 0));
    t.equal(decrementTtl(zero), false);
  });
}

t.test('TTLs that carry through the IPv4 header checksum', async (t) => {
  for (let ttl = 2; ttl < 256; ttl++) {
    const packet = tcpPacket(tuple4, rich, undefined, ttl);
    decrementTtl(frameOf(packet));
    if (faults(packet).length > 0) t.fail(`ttl ${ttl}`);
  }
  t.pass('all right');
});

t.test(
  'behind IPv6 extension headers, with VLAN tags, with IPv4 options, at odd places of a buffer',
  async (t) => {
    for (const [name, l3, other] of [
      ['ipv6-extensions', 14, other6],
      ['qinq-ipv6', 22, other6],
      ['vlan-ipv4', 18, other4],
      ['ipv4-options', 14, other4],
      ['sack-odd', 14, other4],
      ['ipv4-padded', 14, other4],
    ] as const) {
      for (const shift of [0, 1, 2, 3]) {
        const bytes = vector(name);
        const store = new Uint8Array(bytes.length + 64).fill(0xcc);
        store.set(bytes, shift);
        const frame = frameOf(new Uint8Array(0));
        frame.parse(store, shift + bytes.length, shift);
        const segment = segmentOf(frame);
        segment.seq = seqAdd(segment.seq, 99);
        segment.sackLeft[0] ^= 0x12345678;
        decrementTtl(frame);
        rewriteTcp(frame, segment, other, frame.checksumState());
        t.strictSame(faults(store.slice(frame.l3, frame.end)), [], `${name} +${shift}`);
        t.strictSame(
          store.slice(0, shift + l3),
          Uint8Array.of(...new Array(shift).fill(0xcc), ...bytes.slice(0, l3)),
        );
        t.strictSame(
          store.slice(frame.end, shift + bytes.length),
          bytes.slice(frame.end - shift),
          'padding is left',
        );
        t.ok(store.subarray(shift + bytes.length).every((b) => b === 0xcc));
      }
    }
  },
);

t.test('one packet rewritten there and back is the same again', async (t) => {
  const packet = vector('sack-full').subarray(14);
  const before = packet.slice();
  const frame = frameOf(packet);
  const segment = segmentOf(frame);
  const original = segmentOf(frame);
  segment.seq = seqAdd(segment.seq, 0xfffff);
  rewriteTcp(frame, segment, other4, ChecksumState.Valid);
  t.notSame(packet, before);
  rewriteTcp(frame, original, tuple4, ChecksumState.Valid);
  t.strictSame(packet, before);
  writeSegment(packet, frame.l4, original);
  t.strictSame(packet, before);
});
