/**
 * What a packet costs of heap: nothing. Measured as the growth of the used heap over many packets, with no
 * collection in between; the warm-up lets the compiler finish first.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { buildTcp, MAX_BUILT, tcpPacket } from '../../src/wire/build.js';
import { FrameView } from '../../src/wire/frame.js';
import { IcmpErrorView, translateIcmpError } from '../../src/wire/icmp-error.js';
import { decrementTtl, rewriteTcp } from '../../src/wire/rewrite.js';
import { OptionBit, TcpSegment } from '../../src/wire/segment.js';
import { Segmenter } from '../../src/wire/segmenter.js';
import { seqAdd } from '../../src/wire/seq.js';
import { readSegment } from '../../src/wire/tcp.js';
import { Tuple } from '../../src/wire/tuple.js';
import { vector } from '../vectors/load.js';
import { other4, other6, pattern, segmentWith, tuple4, tuple6 } from './helpers.js';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

const PACKETS = 200_000;
/** So few at a time that the youngest generation does not fill up, and no collection hides anything. */
const BATCH = 20_000;
/** A stray object of the runtime's own is allowed; one number on the heap (16 bytes) for each packet is not. */
const MOST_BYTES_PER_PACKET = 1;

/** Bytes of heap for each call, the median of the batches: what the runtime allocates meanwhile is not ours. */
function costOf(work: (i: number) => void): number {
  for (let i = 0; i < PACKETS; i++) work(i);
  const costs: number[] = [];
  for (let done = 0; done < PACKETS; done += BATCH) {
    gc();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < BATCH; i++) work(done + i);
    costs.push((process.memoryUsage().heapUsed - before) / BATCH);
  }
  return costs.sort((a, b) => a - b)[costs.length >> 1];
}

const rich = segmentWith({ options: OptionBit.Timestamps | OptionBit.Sack, sackCount: 2, tsval: 0xfffffff0 });
rich.seq = seqAdd(rich.seq, -5000);

function rewriting(from: Tuple, to: Tuple, payload: number): (i: number) => void {
  const packet = tcpPacket(from, rich, pattern(payload));
  const bytes = new Uint8Array(packet.length + 14);
  bytes.set(from.isIpv4 ? [0x08, 0x00] : [0x86, 0xdd], 12);
  bytes.set(packet, 14);
  const frame = new FrameView();
  const tuple = new Tuple();
  const segment = new TcpSegment();
  const before = bytes.slice();
  return (i) => {
    frame.parse(bytes, bytes.length);
    frame.readTuple(tuple);
    readSegment(bytes, frame.l4, frame.end, segment);
    const state = frame.checksumState();
    segment.seq = seqAdd(segment.seq, i);
    segment.ack = seqAdd(segment.ack, -i);
    segment.tsval = (segment.tsval + i) >>> 0;
    decrementTtl(frame);
    rewriteTcp(frame, segment, to, state);
    bytes.set(before);
  };
}

function segmenting(from: Tuple, to: Tuple): (i: number) => void {
  const bytes = tcpPacket(from, rich, pattern(3000));
  const frame = new FrameView();
  const segment = new TcpSegment();
  const segmenter = new Segmenter();
  return (i) => {
    frame.parseIp(bytes, 0, bytes.length);
    readSegment(bytes, frame.l4, frame.end, segment);
    segment.seq = seqAdd(segment.seq, i);
    segmenter.begin(frame, segment, to, 0, 3000, 1460);
    while (segmenter.next());
  };
}

function translating(name: string, a: Tuple, b: Tuple): () => void {
  const bytes = vector(name);
  const frame = new FrameView();
  const error = new IcmpErrorView();
  const seq = seqAdd(rich.seq, -1);
  return () => {
    frame.parse(bytes, bytes.length);
    error.read(frame);
    translateIcmpError(frame, error, a, b, seq);
  };
}

function building(tuple: Tuple): (i: number) => void {
  const out = new Uint8Array(MAX_BUILT);
  const segment = new TcpSegment().copyFrom(rich);
  return (i) => {
    segment.seq = seqAdd(segment.seq, i);
    buildTcp(out, tuple, segment, 64);
  };
}

const CASES: [string, (i: number) => void][] = [
  ['IPv4, a full packet read and rewritten', rewriting(tuple4, other4, 1448)],
  ['IPv4, a bare ack read and rewritten', rewriting(tuple4, other4, 0)],
  ['IPv6, a full packet read and rewritten', rewriting(tuple6, other6, 1428)],
  ['IPv4, a packet cut in three', segmenting(tuple4, other4)],
  ['IPv6, a packet cut in three', segmenting(tuple6, other6)],
  ['an ICMP error translated', translating('icmpv4-unreachable', other4, tuple4)],
  ['an ICMPv6 error translated', translating('icmpv6-too-big', other6, tuple6)],
  ['IPv4, an ack built', building(tuple4)],
  ['IPv6, an ack built', building(tuple6)],
];

t.test('the measurement does see a number on the heap', async (t) => {
  const kept: unknown[] = [undefined];
  const cost = costOf((i) => {
    kept[0] = i + 0.5;
  });
  t.ok(cost > MOST_BYTES_PER_PACKET, `${cost.toFixed(3)} bytes`);
  t.equal(kept[0], PACKETS - 0.5);
});

for (const [name, work] of CASES) {
  t.test(name, async (t) => {
    const cost = costOf(work);
    t.ok(cost < MOST_BYTES_PER_PACKET, `${cost.toFixed(3)} bytes a packet`);
  });
}
