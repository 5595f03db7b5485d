/**
 * Random and mutated packets, for SUTURE_FUZZ_SECONDS (5 unless set): nothing throws, nothing is read or
 * written where it must not be, and what is read is what an independent decoder reads.
 */
import fc from 'fast-check';
import t from 'tap';
import { parseEthernet } from '../../src/wire/ethernet.js';
import { FrameKind, FrameView } from '../../src/wire/frame.js';
import { IcmpErrorView, isIcmpChecksumValid, translateIcmpError } from '../../src/wire/icmp-error.js';
import { parseIpv4 } from '../../src/wire/ipv4.js';
import { parseIpv6 } from '../../src/wire/ipv6.js';
import { decrementTtl, rewriteTcp } from '../../src/wire/rewrite.js';
import { OptionBit, TcpSegment } from '../../src/wire/segment.js';
import { Segmenter } from '../../src/wire/segmenter.js';
import { seqAdd } from '../../src/wire/seq.js';
import { readSegment, TcpParse, writeSegment } from '../../src/wire/tcp.js';
import { parseTcp } from '../../src/wire/tcp-emit.js';
import { Tuple } from '../../src/wire/tuple.js';
import { vector, vectorNames } from '../vectors/load.js';
import { naiveSum, other4, other6 } from '../wire/helpers.js';
import { type TwinKind, twinFrame, twinSegment } from '../wire/twin.js';

const SECONDS = Number(process.env.SUTURE_FUZZ_SECONDS ?? 5);
const NAMES: Record<FrameKind, TwinKind> = {
  [FrameKind.Tcp]: 'tcp',
  [FrameKind.Fragment]: 'fragment',
  [FrameKind.IcmpError]: 'icmp-error',
  [FrameKind.Other]: 'other',
  [FrameKind.Malformed]: 'malformed',
};

/** Bytes where lengths, types and options stand are the ones worth changing. */
const edit = fc.tuple(
  fc.nat({ max: 160 }),
  fc.oneof(fc.constantFrom(0, 1, 2, 4, 5, 6, 8, 10, 43, 44, 60, 0x40, 0x50, 0xf0, 0x7f, 0xff), fc.nat(255)),
);
const mutated = fc
  .record({
    name: fc.constantFrom(...vectorNames),
    edits: fc.array(edit, { maxLength: 5 }),
    cut: fc.option(fc.nat({ max: 160 })),
    more: fc.uint8Array({ maxLength: 30 }),
  })
  .map(({ name, edits, cut, more }) => {
    const bytes = Uint8Array.from([...vector(name), ...more]);
    for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
    return cut === null ? bytes : bytes.slice(0, cut);
  });
/** Right up to the TCP options, which are anything. */
const optioned = fc
  .tuple(
    fc.constantFrom('sack-full', 'syn-options', 'sack-odd'),
    fc.array(fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 10, 18, 30), fc.nat(255)), { maxLength: 40 }),
  )
  .map(([name, options]) => {
    const bytes = vector(name);
    bytes.set(options.slice(0, bytes.length - 54), 54);
    return bytes;
  });
/** Cut short with a length field that says so, and other bytes behind: the cut goes through any header. */
const trimmed = fc
  .tuple(fc.constantFrom(...vectorNames), fc.nat({ max: 140 }), fc.uint8Array({ maxLength: 20 }))
  .map(([name, keep, more]) => {
    const bytes = vector(name);
    const l3 = name === 'vlan-ipv4' ? 18 : name === 'qinq-ipv6' ? 22 : 14;
    const isIpv4 = bytes[l3] >>> 4 === 4;
    const end = Math.min(bytes.length, l3 + (isIpv4 ? 20 : 40) + keep);
    const length = end - l3 - (isIpv4 ? 0 : 40);
    bytes[l3 + (isIpv4 ? 2 : 4)] = length >>> 8;
    bytes[l3 + (isIpv4 ? 3 : 5)] = length;
    return { bytes: Uint8Array.from([...bytes.slice(0, end), ...more]), end };
  });
const packets = fc.oneof(
  { weight: 2, arbitrary: trimmed.map(({ bytes }) => bytes) },
  { weight: 5, arbitrary: mutated },
  { weight: 2, arbitrary: optioned },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 120 }) },
);

/** A buffer that tells what is read of it outside the given range. */
function guarded(bytes: Uint8Array, start: number, end: number, strayed: number[]): Uint8Array {
  return new Proxy(bytes, {
    get(target, key) {
      const index = typeof key === 'string' ? Number(key) : Number.NaN;
      if (Number.isInteger(index) && (index < start || index >= end)) strayed.push(index);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Everything that is read of a packet, as one text. */
function readAll(bytes: Uint8Array, start: number, end: number, sums: boolean): string {
  const frame = new FrameView();
  const segment = new TcpSegment();
  const tuple = new Tuple();
  const error = new IcmpErrorView();
  const kind = frame.parse(bytes, end, start);
  const out: unknown[] = [kind, frame.vlanTags, frame.ttl, frame.protocol, frame.headerLength];
  if (kind === FrameKind.Tcp || kind === FrameKind.Fragment || kind === FrameKind.IcmpError) {
    frame.readTuple(tuple);
    out.push([...tuple.words]);
  }
  if (kind === FrameKind.Tcp) {
    const parse = readSegment(bytes, frame.l4, frame.end, segment);
    out.push(parse, parse === TcpParse.Ok ? { ...segment } : 0);
    if (sums) out.push(frame.checksumState());
  }
  if (kind === FrameKind.IcmpError) {
    out.push(error.read(frame), error.mtu, error.hasTcp ? [...error.tuple.words, error.seq] : []);
    if (sums) out.push(isIcmpChecksumValid(frame));
  }
  return JSON.stringify(out);
}

const OPTION_NAMES: Record<string, number> = {
  mss: OptionBit.Mss,
  wscale: OptionBit.WindowScale,
  sackPermitted: OptionBit.SackPermitted,
  sack: OptionBit.Sack,
  timestamps: OptionBit.Timestamps,
  fastOpen: OptionBit.FastOpen,
  mptcp: OptionBit.Mptcp,
  md5: OptionBit.Md5,
  ao: OptionBit.Ao,
  unknown: OptionBit.Unknown,
};

/** How many packets of each kind were compared. */
const met = new Map<TwinKind, number>();

/** The two decoders' views of one packet, side by side. */
function compare(bytes: Uint8Array): void {
  const frame = new FrameView();
  const kind = NAMES[frame.parse(bytes, bytes.length)];
  met.set(kind, (met.get(kind) ?? 0) + 1);
  const twin = twinFrame(bytes);
  equal('kind', kind, twin.kind);
  if (kind !== 'tcp' && kind !== 'fragment' && kind !== 'icmp-error') return;
  const { l3 } = frame;
  equal(
    'offsets',
    [frame.ipVersion, frame.l4 - l3, frame.end - l3, frame.ttl],
    [twin.version, twin.transport, twin.end, twin.ttl],
  );
  const tuple = new Tuple();
  frame.readTuple(tuple);
  const text = [...tuple.words].map((w) => w.toString(16).padStart(8, '0')).join('');
  const addresses =
    twin.version === 4 ? [text.slice(24, 32), text.slice(56, 64)] : [text.slice(0, 32), text.slice(32, 64)];
  equal('addresses', addresses, [twin.source, twin.destination]);
  if (kind === 'tcp') compareTcp(frame, tuple);
}

function compareTcp(frame: FrameView, tuple: Tuple): void {
  const bytes = frame.bytes.slice(frame.l4, frame.end);
  const twin = twinSegment(bytes);
  const segment = new TcpSegment();
  const parse = readSegment(frame.bytes, frame.l4, frame.end, segment);
  equal('options well formed', parse === TcpParse.Ok, twin.options !== undefined);
  equal('plain form too', parseTcp(bytes) !== undefined, twin.options !== undefined);
  equal('ports', [tuple.sourcePort, tuple.destinationPort], twin.ports);
  if (!twin.options) return;
  equal(
    'fields',
    [segment.seq, segment.ack, segment.flags, segment.window, segment.urgent, segment.payloadLength],
    [twin.seq, twin.ack, twin.flags, twin.window, twin.urgent, twin.payload],
  );
  const bits = [...twin.options.keys()].reduce((sum, name) => sum | OPTION_NAMES[name], 0);
  equal('options', segment.options, bits);
  equal('mss', segment.mss, twin.options.get('mss')?.[0] ?? 0);
  equal('window scale', segment.windowScale, twin.options.get('wscale')?.[0] ?? 0);
  equal('timestamps', [segment.tsval, segment.tsecr], twin.options.get('timestamps') ?? [0, 0]);
  const edges = Array.from({ length: segment.sackCount }, (_, i) => [
    segment.sackLeft[i],
    segment.sackRight[i],
  ]);
  equal('SACK', edges.flat(), twin.options.get('sack') ?? []);

  const whole = frame.ipVersion === 4 ? 12 : 8;
  const pseudo = naiveSum(
    frame.bytes.slice(frame.l3 + whole, frame.l3 + (frame.ipVersion === 4 ? 20 : 40)),
    6 + bytes.length,
  );
  const isValid = [0, 0xffff].includes(naiveSum(bytes, pseudo % 0xffff));
  const field = bytes[16] * 256 + bytes[17];
  const state = field === (pseudo % 0xffff || 0xffff) ? 1 : isValid ? 0 : 2;
  equal('checksum', frame.checksumState(), state);
}

function equal(what: string, got: unknown, wanted: unknown): void {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what}: ${a}, the twin says ${b}`);
}

/** Every writer, with a check that only the packet itself was touched and that sums stay what they were. */
function writeAll(packet: Uint8Array, delta: number, options: number): void {
  const store = new Uint8Array(packet.length + 64).fill(0xa7);
  store.set(packet, 32);
  const end = 32 + packet.length;
  const frame = new FrameView();
  const kind = frame.parse(store, end, 32);
  const segment = new TcpSegment();
  const outer = frame.ipVersion === 4 ? other4 : other6;
  if (kind === FrameKind.Tcp && readSegment(store, frame.l4, frame.end, segment) === TcpParse.Ok) {
    writeSegment(store, frame.l4, segment);
    equal('writing back', [...store.subarray(32, end)], [...packet]);
    const state = frame.checksumState();
    segment.seq = seqAdd(segment.seq, delta);
    segment.options &= options;
    segment.sackCount = Math.min(segment.sackCount, options & 3);
    const payload = store.slice(frame.payloadStart, frame.end);
    decrementTtl(frame);
    const segmenter = new Segmenter();
    const before = store.slice();
    segmenter.begin(frame, segment, outer, 0, payload.length, 68);
    for (let left = 200; segmenter.next() && left > 0; left--);
    segmenter.finish();
    equal('after segmenting', [...store], [...before]);
    rewriteTcp(frame, segment, outer, state);
    equal(
      'state',
      frame.isPartial ? state : frame.checksumState(),
      state === 1 ? (frame.isPartial ? 1 : 0) : state,
    );
    equal('payload', [...store.subarray(frame.payloadStart, frame.end)], [...payload]);
    const again = new TcpSegment();
    equal('still well formed', readSegment(store, frame.l4, frame.end, again), TcpParse.Ok);
    if ((segment.options & OptionBit.Unknown) === 0) {
      const wanted = segment.sackCount === 0 ? segment.options & ~OptionBit.Sack : segment.options;
      equal('options kept', again.options, wanted);
    }
  }
  if (kind === FrameKind.IcmpError) {
    const error = new IcmpErrorView();
    error.read(frame);
    const valid = isIcmpChecksumValid(frame);
    translateIcmpError(frame, error, outer, outer, seqAdd(error.seq, delta));
    equal('ICMP checksum', isIcmpChecksumValid(frame), valid);
  }
  const { l3 } = frame;
  equal(
    'before the packet',
    [...store.subarray(0, l3)],
    [...new Array(32).fill(0xa7), ...packet.slice(0, l3 - 32)],
  );
  const rest = frame.kind === FrameKind.Malformed ? end : Math.max(frame.end, l3);
  equal(
    'behind the packet',
    [...store.subarray(rest)],
    [...packet.slice(rest - 32), ...new Array(32).fill(0xa7)],
  );
}

fc.configureGlobal({
  numRuns: Number.MAX_SAFE_INTEGER,
  interruptAfterTimeLimit: (SECONDS * 1000) / 5,
  markInterruptAsFailure: false,
});

type Arbitraries<T extends unknown[]> = { [K in keyof T]: fc.Arbitrary<T[K]> };

/** Runs a property until its share of the time is over, and wants it to have run. */
function hold<T extends unknown[]>(
  name: string,
  check: (...values: T) => void,
  ...given: Arbitraries<T>
): void {
  t.test(name, async (t) => {
    let runs = 0;
    const values = fc.tuple(...(given as fc.Arbitrary<unknown>[]));
    fc.assert(
      fc.property(values, (drawn) => {
        runs += 1;
        check(...(drawn as T));
      }),
    );
    t.ok(runs > 0, `${runs} packets`);
  });
}

hold('the twin reads the same', compare, packets);

t.test('packets of every kind were compared', async (t) => {
  for (const kind of Object.values(NAMES)) t.ok((met.get(kind) ?? 0) > 0, `${kind}: ${met.get(kind)}`);
});

hold(
  'nothing outside the packet is read',
  (packet: Uint8Array) => {
    const strayed: number[] = [];
    const store = new Uint8Array(packet.length + 16);
    store.set(packet, 8);
    const bytes = guarded(store, 8, 8 + packet.length, strayed);
    readAll(bytes, 8, 8 + packet.length, false);
    equal('reads outside', strayed, []);
  },
  packets,
);

hold(
  'nothing behind the end that the IP header gives is read',
  ({ bytes, end }: { bytes: Uint8Array; end: number }) => {
    const strayed: number[] = [];
    readAll(guarded(bytes, 0, end, strayed), 0, bytes.length, false);
    equal('reads behind the end', strayed, []);
  },
  trimmed,
);

hold(
  'nothing outside the packet counts',
  (packet: Uint8Array, around: Uint8Array) => {
    const one = new Uint8Array(packet.length + 64);
    one.set(packet, 32);
    const other = Uint8Array.from([...around, ...packet, ...around]);
    const end = 32 + packet.length;
    equal('what is read', readAll(one, 32, end, true), readAll(other, 32, end, true));
    for (const parse of [parseEthernet, parseIpv4, parseIpv6, parseTcp]) parse(packet);
  },
  packets,
  fc.uint8Array({ minLength: 32, maxLength: 32 }),
);

hold(
  'writers stay inside, and keep checksums as right or wrong as they were',
  writeAll,
  packets,
  fc.integer(),
  fc.nat(0x3ff),
);
