/** Properties of the codecs and of the incremental checksum, together for SUTURE_FUZZ_SECONDS (5 unless set). */
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { tcpPacket } from '../../src/wire/build.js';
import {
  finishChecksum,
  foldSum,
  sumBytes,
  updateChecksum,
  updateChecksumSums,
} from '../../src/wire/checksum.js';
import { addressText } from '../../src/wire/endpoint.js';
import { type EthernetRepr, emitEthernet, parseEthernet } from '../../src/wire/ethernet.js';
import { emitIcmpv4Error, emitIcmpv6Error, parseIcmpv4Error, parseIcmpv6Error } from '../../src/wire/icmp.js';
import { emitIpv4, type Ipv4Repr, parseIpv4 } from '../../src/wire/ipv4.js';
import { emitIpv6, type Ipv6Repr, parseIpv6 } from '../../src/wire/ipv6.js';
import { decrementTtl, rewriteTcp } from '../../src/wire/rewrite.js';
import { OptionBit, TcpSegment } from '../../src/wire/segment.js';
import { Segmenter } from '../../src/wire/segmenter.js';
import { seqNum } from '../../src/wire/seq.js';
import { emitTcp, parseTcp } from '../../src/wire/tcp-emit.js';
import { Tuple } from '../../src/wire/tuple.js';
import { EtherType, IpProto } from '../../src/wire/types.js';
import { faults, frameOf, naiveSum, segmentOf } from '../wire/helpers.js';

const SECONDS = Number(process.env.SUTURE_FUZZ_SECONDS ?? 5);
fc.configureGlobal({
  numRuns: Number.MAX_SAFE_INTEGER,
  interruptAfterTimeLimit: (SECONDS * 1000) / 10,
  markInterruptAsFailure: false,
});

const u8 = fc.nat(0xff);
const u16 = fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff));
const u32 = fc.oneof(
  fc.nat(0xffffffff),
  fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffff, 0x10000, 0xffff0000, 0xffffffff),
);
const address4 = u32.map((word) => addressText([0, 0, 0xffff, word]));
const address6 = fc
  .tuple(u32, u32, u32, u32)
  .filter(([a, b, c]) => a !== 0 || b !== 0 || c !== 0xffff)
  .map((words) => addressText(words));
const payload = fc.uint8Array({ maxLength: 300 });

const tuple4 = fc.tuple(u32, u32, u16, u16).map(([source, destination, from, to]) => {
  const tuple = new Tuple();
  tuple.setIpv4(source, destination);
  tuple.setPorts(from, to);
  return tuple;
});
const tuple6 = fc
  .tuple(u32, fc.array(u32, { minLength: 7, maxLength: 7 }), u16, u16)
  .map(([first, rest, from, to]) => {
    const tuple = new Tuple();
    tuple.words.set([first | 1, ...rest]);
    tuple.words[4] |= 1;
    tuple.setPorts(from, to);
    return tuple;
  });
/** Two tuples of one family. */
const tuples = fc.oneof(fc.tuple(tuple4, tuple4), fc.tuple(tuple6, tuple6));

const segments = fc
  .record({
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    urgent: u16,
    options: fc.nat(0x3ff),
    mss: u16,
    windowScale: u8,
    tsval: u32,
    tsecr: u32,
    edges: fc.array(fc.tuple(u32, u32), { minLength: 1, maxLength: 4 }),
  })
  .map((fields) => {
    const { edges, ...plain } = fields;
    const segment = Object.assign(new TcpSegment(), plain, {
      seq: seqNum(plain.seq),
      ack: seqNum(plain.ack),
    });
    // 40 bytes hold what they hold: beside others SACK gives way, and of the long ones there is one.
    if (segment.options & OptionBit.Md5)
      segment.options &= OptionBit.Md5 | OptionBit.Timestamps | OptionBit.Mss;
    const isCrowded = (segment.options & ~(OptionBit.Timestamps | OptionBit.Sack)) !== 0;
    if (isCrowded) segment.options &= ~OptionBit.Sack;
    if (!segment.hasOption(OptionBit.Mss)) segment.mss = 0;
    if (!segment.hasOption(OptionBit.WindowScale)) segment.windowScale = 0;
    if (!segment.hasOption(OptionBit.Timestamps)) {
      segment.tsval = 0;
      segment.tsecr = 0;
    }
    if (segment.hasOption(OptionBit.Sack)) {
      const kept = edges.slice(0, segment.hasOption(OptionBit.Timestamps) ? 3 : 4);
      segment.sackCount = kept.length;
      for (const [i, [left, right]] of kept.entries()) {
        segment.sackLeft[i] = left;
        segment.sackRight[i] = right;
      }
    }
    return segment;
  });

/** A property that is held until its share of the time is over, and that has run. */
function hold(t: Test, property: fc.IProperty<unknown>): void {
  const details = fc.check(property);
  t.equal(
    details.failed,
    false,
    details.failed ? fc.defaultReportMessage(details) : `${details.numRuns} runs`,
  );
  t.ok(details.numRuns > 0);
}

function same(got: unknown, wanted: unknown): void {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_, v: unknown) => (ArrayBuffer.isView(v) ? [...(v as Uint8Array)] : v));
  if (text(got) !== text(wanted)) throw new Error(`${text(got)} is not ${text(wanted)}`);
}

t.test('sums: any range of any view as the naive way, and additive', async (t) => {
  hold(
    t,
    fc.property(fc.uint8Array({ maxLength: 700 }), fc.nat(7), fc.nat(400), (bytes, offset, split) => {
      const view = bytes.subarray(Math.min(offset, bytes.length));
      same(foldSum(sumBytes(view, 0, view.length, 0)), naiveSum(view));
      const middle = Math.min(view.length & ~1, split & ~1);
      const parts = sumBytes(view, middle, view.length, sumBytes(view, 0, middle, 0));
      same(foldSum(parts), naiveSum(view));
    }),
  );
});

t.test('incremental updates equal a full recomputation', async (t) => {
  hold(
    t,
    fc.property(
      fc.uint8Array({ minLength: 8, maxLength: 200 }),
      fc.nat(),
      u16,
      u32,
      (bytes, where, word, double) => {
        // A header that the checksum covers is never all zero.
        bytes[0] |= 1;
        const view = new DataView(bytes.buffer);
        const at = 2 + 2 * (where % ((bytes.length - 6) >> 1 || 1));
        const check = finishChecksum(naiveSum(bytes));
        const oldWord = view.getUint16(at);
        const oldSum = sumBytes(bytes, 0, bytes.length, 0);
        view.setUint16(at, word);
        same(updateChecksum(check, oldWord, word), finishChecksum(naiveSum(bytes)));
        view.setUint16(at, oldWord);
        view.setUint32(at, double);
        const wanted = finishChecksum(naiveSum(bytes));
        same(updateChecksumSums(check, oldSum, sumBytes(bytes, 0, bytes.length, 0)), wanted);
      },
    ),
  );
});

t.test('Ethernet: parse(emit(x)) is x', async (t) => {
  const mac = fc
    .array(u8, { minLength: 6, maxLength: 6 })
    .map((b) => b.map((x) => x.toString(16).padStart(2, '0')).join(':'));
  const tag = fc.record({ tpid: fc.constantFrom(EtherType.Vlan, EtherType.ServiceVlan), tci: u16 });
  const repr: fc.Arbitrary<EthernetRepr> = fc.record({
    destination: mac,
    source: mac,
    tags: fc.array(tag, { maxLength: 2 }),
    etherType: fc.constantFrom(EtherType.Ipv4, EtherType.Ipv6, EtherType.Arp),
    payload,
  });
  hold(
    t,
    fc.property(repr, (x) => same(parseEthernet(emitEthernet(x)), x)),
  );
});

t.test('IPv4: parse(emit(x)) is x', async (t) => {
  const repr: fc.Arbitrary<Ipv4Repr> = fc.record({
    source: address4,
    destination: address4,
    protocol: u8.map((x) => x as IpProto),
    ttl: u8,
    tos: u8,
    id: u16,
    dontFragment: fc.boolean(),
    moreFragments: fc.boolean(),
    fragmentOffset: fc.nat(0x1fff).map((x) => x * 8),
    options: fc.nat(10).chain((n) => fc.uint8Array({ minLength: 4 * n, maxLength: 4 * n })),
    payload,
  });
  hold(
    t,
    fc.property(repr, (x) => same(parseIpv4(emitIpv4(x)), x)),
  );
});

t.test('IPv6: parse(emit(x)) is x', async (t) => {
  const extension = fc
    .tuple(fc.constantFrom(IpProto.HopByHop, IpProto.Destination, IpProto.Routing), fc.nat(4))
    .chain(([header, n]) =>
      fc.uint8Array({ minLength: 6 + 8 * n, maxLength: 6 + 8 * n }).map((body) => ({ header, body })),
    );
  const fragment = fc
    .uint8Array({ minLength: 6, maxLength: 6 })
    .map((body) => ({ header: IpProto.Fragment, body }));
  const repr: fc.Arbitrary<Ipv6Repr> = fc.record({
    source: address6,
    destination: address6,
    trafficClass: u8,
    flowLabel: fc.nat(0xfffff),
    hopLimit: u8,
    extensions: fc
      .tuple(fc.array(extension, { maxLength: 4 }), fc.option(fragment))
      .map(([list, last]) => (last ? [...list, last] : list)),
    nextHeader: fc.constantFrom(IpProto.Tcp, IpProto.Udp, IpProto.Icmpv6, IpProto.NoNext, IpProto.Esp),
    payload,
  });
  hold(
    t,
    fc.property(repr, (x) => same(parseIpv6(emitIpv6(x)), x)),
  );
});

t.test('TCP: parse(emit(x)) is x', async (t) => {
  hold(
    t,
    fc.property(segments, u16, u16, payload, (segment, sourcePort, destinationPort, data) => {
      segment.payloadLength = data.length;
      const bytes = emitTcp(segment, sourcePort, destinationPort, data);
      same(parseTcp(bytes), { segment, sourcePort, destinationPort, payload: data });
    }),
  );
});

t.test('ICMP errors: parse(emit(x)) is x', async (t) => {
  const fields = { code: u8, info: u32, quoted: payload };
  const four = fc.record({ type: fc.constantFrom(3, 11, 12), ...fields });
  const six = fc.record({ type: fc.constantFrom(1, 2, 3, 4), ...fields });
  hold(
    t,
    fc.property(four, six, address6, address6, (x4, x6, source, destination) => {
      same(parseIcmpv4Error(emitIcmpv4Error(x4)), x4);
      same(parseIcmpv6Error(emitIcmpv6Error(x6, source, destination), source, destination), x6);
    }),
  );
});

t.test('a rewritten packet is the packet that would have been built', async (t) => {
  hold(
    t,
    fc.property(tuples, segments, segments, payload, fc.boolean(), ([from, to], a, b, data, isPartial) => {
      const packet = tcpPacket(from, a, data, 64);
      const frame = frameOf(packet);
      if (isPartial) {
        const sum = foldSum(frame.pseudoSum(frame.end - frame.l4));
        packet[frame.l4 + 16] = sum >>> 8;
        packet[frame.l4 + 17] = sum;
      }
      const state = frame.checksumState();
      // Values of the other segment, in the options that this one has.
      b.options = a.options;
      b.sackCount = a.sackCount;
      decrementTtl(frame);
      rewriteTcp(frame, b, to, state);
      same(packet, tcpPacket(to, b, data, 63));
    }),
  );
});

t.test('the parts of a cut packet are the packet', async (t) => {
  const segmenter = new Segmenter();
  hold(
    t,
    fc.property(
      tuples,
      segments,
      payload,
      fc.nat(300),
      fc.nat(300),
      fc.nat(120),
      ([from, to], segment, data, a, b, mss) => {
        const packet = tcpPacket(from, segment, data);
        const before = packet.slice();
        const frame = frameOf(packet);
        const start = Math.min(a, b, data.length);
        const end = Math.min(Math.max(a, b), data.length);
        segmenter.begin(frame, segmentOf(frame), to, start, end, mss);
        const bytes: number[] = [];
        let seq = segment.seq as number;
        while (segmenter.next()) {
          const one = packet.slice(segmenter.start, segmenter.end);
          same(faults(one), []);
          const piece = frameOf(one);
          same(segmentOf(piece).seq, seq);
          bytes.push(...one.subarray(piece.payloadStart));
          seq = (seq + piece.end - piece.payloadStart) >>> 0;
        }
        same(bytes, [...data.subarray(start, end)]);
        same(packet, before);
      },
    ),
  );
});
