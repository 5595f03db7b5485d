/**
 * A packet that is translated, and translated back with the deltas turned round, is the packet that it was, byte for
 * byte: for any header, options in any order and number, both families. For SUTURE_FUZZ_SECONDS (5 unless set).
 */
import fc from 'fast-check';
import t from 'tap';
import { Connection } from '../../src/flow/connection.js';
import { Flow } from '../../src/flow/flow.js';
import { Outbox } from '../../src/flow/outbox.js';
import { translate } from '../../src/flow/translate.js';
import { ChecksumState, FrameKind, FrameView } from '../../src/wire/frame.js';
import { computeChecksum, rewriteTcp } from '../../src/wire/rewrite.js';
import { OptionBit, TcpFlag, TcpSegment } from '../../src/wire/segment.js';
import { seqAdd, seqNum } from '../../src/wire/seq.js';
import { readSegment, TcpParse } from '../../src/wire/tcp.js';
import { Tuple } from '../../src/wire/tuple.js';
import { ETHERNET_HEADER, rawFrame } from '../kernel/support/frames.js';

const SECONDS = Number(process.env.SUTURE_FUZZ_SECONDS ?? 5);
const MOST_OPTIONS = 40;

const u16 = fc.nat(0xffff);
const u32 = fc.oneof(fc.nat(0xffffffff), fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffffffff));
const delta = u32.map((value) => value | 0);
const scale = fc.nat(14);

function tupleIn(family: 4 | 6): fc.Arbitrary<Tuple> {
  return fc.tuple(fc.array(u32, { minLength: 8, maxLength: 8 }), u16, u16).map(([words, from, to]) => {
    const tuple = new Tuple();
    if (family === 4) tuple.setIpv4(words[0] as number, words[1] as number);
    // Not the form that stands for an IPv4 address.
    else tuple.words.set(words.map((word, i) => (i % 4 === 0 ? word | 1 : word)));
    tuple.setPorts(from, to);
    return tuple;
  });
}

type GivenOption = readonly number[] | 'timestamps' | number;

/** Bytes of their own, timestamps, or so many SACK blocks. */
const option: fc.Arbitrary<GivenOption> = fc.oneof(
  fc.constant('timestamps' as const),
  fc.integer({ min: 1, max: 4 }),
  fc.constantFrom([1], [1, 1], [2, 4, 5, 0xb4], [3, 3, 7], [4, 2], [5, 2], [253, 4, 1, 2], [19, 3, 1], [0]),
);

const packets = fc.constantFrom<4 | 6>(4, 6).chain((family) =>
  fc.record({
    from: tupleIn(family),
    to: tupleIn(family),
    seq: u32,
    ack: u32,
    /** All but SYN: that one is answered and not translated. */
    flags: fc.nat(255).map((bits) => bits & ~TcpFlag.Syn),
    window: u16,
    urgent: u16,
    length: fc.nat(300),
    options: fc.array(option, { maxLength: 5 }),
    stamps: fc.array(u32, { minLength: 2, maxLength: 2 }),
    /** Above the first byte that both streams share. */
    edges: fc.array(fc.nat(2 ** 30), { minLength: 8, maxLength: 8 }),
    shared: u32,
    partial: fc.boolean(),
  }),
);
type GivenPacket = typeof packets extends fc.Arbitrary<infer T> ? T : never;

const deltas = fc.record({ up: delta, down: delta, tsUp: delta, tsDown: delta, far: scale, near: scale });
type Deltas = typeof deltas extends fc.Arbitrary<infer T> ? T : never;

function u32Bytes(words: readonly number[]): number[] {
  return words.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]);
}

function optionBytes({ options, stamps, edges, shared }: GivenPacket): Buffer {
  const bytes = options.flatMap((given) => {
    if (given === 'timestamps') return [8, 10, ...u32Bytes(stamps)];
    if (typeof given !== 'number') return given;
    return [5, 2 + 8 * given, ...u32Bytes(edges.slice(0, 2 * given).map((edge) => (shared + edge) >>> 0))];
  });
  const kept = bytes.slice(0, MOST_OPTIONS);
  return Buffer.from([...kept, ...new Array<number>((4 - (kept.length % 4)) % 4).fill(1)]);
}

/** A pair that takes packets of `from` to `to`, with these deltas. */
function pairOf(from: Tuple, to: Tuple, { up, down, tsUp, tsDown, far, near }: Deltas): Connection {
  const x = new Connection('outer', from, from.reversed(), 0);
  const y = new Connection('inner', to.reversed(), to, 0);
  new Flow('f', x, y);
  Object.assign(x, { delta: up, tsDelta: tsUp, sack: true });
  Object.assign(y, { delta: down, tsDelta: tsDown, sack: true });
  x.far.windowScale = far;
  y.shell.windowScale = near;
  return x;
}

const segment = new TcpSegment();
const view = new FrameView();
const outbox = new Outbox();

/** The packet, translated in place; the window that it has now, or undefined where it can't be read. */
function pass(packet: Buffer, x: Connection, shared: number): number | undefined {
  if (view.parseIp(packet, 0, packet.length) !== FrameKind.Tcp) return undefined;
  if (readSegment(packet, view.l4, view.end, segment) !== TcpParse.Ok) return undefined;
  // All that X sent is acknowledged and shared, so no bare ack is lifted and nothing answered.
  x.toldAck = segment.seq;
  x.far.max = segment.seq;
  x.transparentFrom = seqAdd(segment.seq, -1000);
  x.other.transparentFrom = seqAdd(seqNum(shared), -x.other.delta);
  const state = view.checksumState();
  outbox.clear();
  translate(x, segment, outbox);
  if (outbox.count !== 1) throw new Error(`${outbox.count} packets of one`);
  const { segment: sent, tuple, made } = outbox.at(0);
  if (made) throw new Error('the switch answered itself');
  if (!rewriteTcp(view, sent, tuple, state)) throw new Error('not rewritten');
  // A right one may look like one that was left to the interface.
  if (view.checksumState() === ChecksumState.Bad) throw new Error('the checksum is not right');
  return sent.window;
}

/** What is lost of a window on its way to the other scale and back. */
function checkWindow(before: number, after: number, { far, near }: Deltas): void {
  const unit = 2 ** Math.max(0, near - far);
  const most = Math.floor((0xffff * 2 ** near) / 2 ** far);
  const isKept = Math.min(before, most) - after < unit && after <= Math.max(before, unit);
  if (!isKept || (before === 0) !== (after === 0)) throw new Error(`window ${before} came back as ${after}`);
}

t.test('there and back again', async (t) => {
  let runs = 0;
  let withSack = 0;
  const property = fc.property(packets, deltas, (given, d) => {
    const { from, to, shared } = given;
    const packet = rawFrame({ ...given, tuple: from, options: optionBytes(given) }).subarray(ETHERNET_HEADER);
    if (view.parseIp(packet, 0, packet.length) !== FrameKind.Tcp) throw new Error('no TCP packet');
    const before = Buffer.from(packet);
    if (given.partial) {
      view.parseIp(before, 0, before.length);
      computeChecksum(view);
    }
    const there = pairOf(from, to, d);
    const turned = { up: -d.up | 0, down: -d.down | 0, tsUp: -d.tsUp | 0, tsDown: -d.tsDown | 0 };
    const back = pairOf(to, from, { ...turned, far: d.near, near: d.far });
    if (pass(packet, there, shared) === undefined) return;
    const window = pass(packet, back, seqAdd(seqNum(shared), -d.down));
    checkWindow(given.window, window as number, d);
    if (window !== given.window) {
      view.parseIp(before, 0, before.length);
      before.writeUInt16BE(window as number, view.l4 + 14);
      computeChecksum(view);
    }
    if (!packet.equals(before))
      throw new Error(`${packet.toString('hex')}\nis not\n${before.toString('hex')}`);
    runs++;
    if (segment.hasOption(OptionBit.Sack)) withSack++;
  });
  fc.assert(property, {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: SECONDS * 1000,
    markInterruptAsFailure: false,
  });
  t.ok(runs > 0 && withSack > 0, `${runs} packets, ${withSack} of them with SACK`);
});
