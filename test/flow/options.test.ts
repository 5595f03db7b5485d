/** The options of the two connections against each other: windows at every pair of scales, SACK edges, refusals. */
import t from 'tap';
import { FlowEngine, Verdict } from '../../src/flow/engine.js';
import { OptionBit, TcpFlag, TcpSegment } from '../../src/wire/segment.js';
import { seqDiff, seqNum } from '../../src/wire/seq.js';
import { Driver, type From, INNER, ISN, OUTER, TUPLES } from './driver.js';

const { Syn, Ack, Ece, Cwr } = TcpFlag;
const { Mss, SackPermitted, Timestamps, WindowScale, Md5, Ao } = OptionBit;
const SCALES = Array.from({ length: 15 }, (_, scale) => scale);
const WINDOWS = [0, 1, 2, 3, 255, 1000, 32_768, 65_535];

/** With integers of any size, in the words of the rule: bytes offered, told in the receiver's units, never closed. */
function expectedWindow(field: number, from: number, to: number): number {
  if (field === 0) return 0;
  const told = (BigInt(field) << BigInt(from)) >> BigInt(to);
  if (told === 0n) return 1;
  return told > 65_535n ? 65_535 : Number(told);
}

t.test('windows at all pairs of scales, both ways', async (t) => {
  let compared = 0;
  for (const own of SCALES) {
    for (const other of SCALES) {
      // E's window goes to the core in the scale that the shell used there, and the core's to E the same way.
      const scale = { E: own, 'A>B': other, B: own, 'A>E': other };
      const driver = new Driver({ scale, timestamps: false }).open().enable();
      if (driver.state !== 'stitched') throw new Error(`${own} and ${other}: ${driver.state}`);
      for (const window of WINDOWS) {
        for (const from of ['E', 'B'] as const) {
          driver.send(from, { seq: 0, ack: 0, window });
          const sent = driver.engine.outbox.at(0).segment.window;
          if (sent !== expectedWindow(window, own, other)) {
            t.fail(`${window} from ${from} at ${own} came out as ${sent} at ${other}`);
          }
          compared++;
        }
      }
    }
  }
  t.equal(compared, 15 * 15 * WINDOWS.length * 2);
});

t.test('a scale that one SYN lacks counts for neither side of its connection', async (t) => {
  const engine = new Handshakes({ B: { options: USUAL & ~WindowScale } }).engine;
  t.equal(engine.flow('f')?.state, 'relayed');
  t.equal(engine.flow('f')?.inner.far.windowScale, 0);
  t.equal(engine.flow('f')?.inner.shell.windowScale, 0);
  t.equal(engine.flow('f')?.outer.shell.windowScale, 7);
});

t.test('a scale above 14 counts as 14 (RFC 7323 section 2.3)', async (t) => {
  const { engine } = new Handshakes({ E: { scale: 200 } });
  t.equal(engine.flow('f')?.outer.far.windowScale, 14);
});

t.test('SACK and D-SACK edges, in the numbers of the end that sent the bytes', async (t) => {
  const ts = { tsval: 110, tsecr: 100 };
  const driver = new Driver().open();
  // 40 bytes of the peer's were the shell's business, and 10 of its own went to the core in their place.
  driver.send('E', { seq: 0, ack: 0, len: 100, ...ts });
  driver.send('A>E', { seq: 0, ack: 100, ...ts });
  driver.send('A>B', { seq: 0, ack: 0, len: 70, ...ts });
  driver.send('B', { seq: 0, ack: 70, ...ts });
  const offsets = { consumedFromPeer: 40, injectedToCore: 10, consumedFromCore: 0, injectedToPeer: 0 };
  driver.engine.enable('f', offsets, driver.now);
  t.equal(driver.state, 'stitched');
  const edges = (): number[][] => {
    const { segment } = driver.engine.outbox.at(0);
    const offset = (edge: number): number => seqDiff(seqNum(edge), seqNum(ISN.E + 1));
    return Array.from({ length: segment.sackCount }, (_, i) => [
      offset(segment.sackLeft[i] as number),
      offset(segment.sackRight[i] as number),
    ]);
  };
  driver.send('E', { seq: 100, ack: 0, len: 900, ...ts });
  driver.send('B', { seq: 0, ack: 70, sack: [[170, 270]], ...ts });
  t.strictSame(edges(), [[200, 300]]);
  // RFC 2883 section 4.1: the first block tells of a duplicate below the ack, the others of what is above it.
  driver.send('B', {
    seq: 0,
    ack: 270,
    sack: [
      [170, 270],
      [370, 470],
    ],
    ...ts,
  });
  t.strictSame(edges(), [
    [200, 300],
    [400, 500],
  ]);
  // A duplicate of what the shell wrote of its own accord is no byte of the peer's.
  driver.send('B', {
    seq: 0,
    ack: 270,
    sack: [
      [0, 10],
      [370, 470],
    ],
    ...ts,
  });
  t.strictSame(edges(), [[400, 500]]);
  driver.send('B', { seq: 0, ack: 270, sack: [[0, 10]], ...ts });
  t.strictSame(edges(), []);
  t.notOk(driver.engine.outbox.at(0).segment.hasOption(OptionBit.Sack), 'no option without a block');
});

interface GivenSyn {
  readonly options?: number;
  readonly flags?: number;
  readonly scale?: number;
  readonly mss?: number;
}

const USUAL = Mss | SackPermitted | Timestamps | WindowScale;
const ORDER = ['E', 'A>E', 'A>B', 'B'] as const;

/** Both handshakes, with what each SYN carries. The engine may edit the segments, so an answer sees the edited SYN. */
class Handshakes {
  readonly engine = new FlowEngine();
  /** The SYNs as they were sent on. */
  readonly sent = new Map<From, TcpSegment>();
  readonly #driver = new Driver();

  constructor(given: Partial<Record<From, GivenSyn>>) {
    this.engine.own({ ...OUTER.local, from: OUTER.local.port, to: OUTER.local.port });
    this.engine.own({ ...INNER.local, from: INNER.local.port, to: INNER.local.port });
    for (const from of ORDER) {
      if (from === 'A>B') this.engine.pair('f', OUTER, INNER, 0);
      this.#syn(from, given[from] ?? {});
      if (from === 'A>E') this.#receive('E', { ack: 0 });
    }
    this.#receive('A>B', { ack: 0 });
  }

  /** What becomes of a plain segment. */
  data(from: From): Verdict {
    return this.#receive(from, { seq: 0, ack: 0, len: 10 });
  }

  #syn(from: From, { options = USUAL, flags = 0, scale = 7, mss = 1460 }: GivenSyn): void {
    const isAnswer = from === 'A>E' || from === 'B';
    const segment = this.#driver.segment(from, isAnswer ? { seq: -1, ack: 0 } : { seq: -1 });
    segment.flags |= Syn | flags;
    Object.assign(segment, { options, mss, windowScale: options & WindowScale ? scale : 0, tsval: 100 });
    this.engine.receive(TUPLES[from], segment, 0);
    this.sent.set(from, new TcpSegment().copyFrom(segment));
  }

  #receive(from: From, given: Parameters<Driver['segment']>[1]): Verdict {
    return this.engine.receive(TUPLES[from], this.#driver.segment(from, given), 0);
  }
}

const withoutTimestamps = { options: USUAL & ~Timestamps };
const REFUSALS: readonly (readonly [string, string | undefined, Partial<Record<From, GivenSyn>>])[] = [
  ['the same on both', undefined, {}],
  ['the core refuses timestamps', 'timestamps-differ', { B: withoutTimestamps }],
  ['the peer has none', undefined, { E: withoutTimestamps, 'A>E': withoutTimestamps, B: withoutTimestamps }],
  ['the core refuses SACK', undefined, { B: { options: USUAL & ~SackPermitted } }],
  ['the core refuses window scale', undefined, { B: { options: USUAL & ~WindowScale } }],
  [
    'the core refuses ECN',
    'ecn-differs',
    { E: { flags: Ece | Cwr }, 'A>E': { flags: Ece }, 'A>B': { flags: Ece | Cwr } },
  ],
  [
    'ECN on both',
    undefined,
    { E: { flags: Ece | Cwr }, 'A>E': { flags: Ece }, 'A>B': { flags: Ece | Cwr }, B: { flags: Ece } },
  ],
  ['the shell refuses the peer ECN', undefined, { E: { flags: Ece | Cwr }, 'A>B': { flags: Ece | Cwr } }],
  ['the shell asks the core for no ECN', 'ecn-differs', { E: { flags: Ece | Cwr }, 'A>E': { flags: Ece } }],
  ['the peer signs with MD5', 'tcp-md5', { E: { options: Mss | Md5 } }],
  ['the core signs with AO', 'tcp-ao', { B: { options: Mss | Ao } }],
];

for (const [name, reason, given] of REFUSALS) {
  t.test(`${name}: ${reason ?? 'stitched'}`, async (t) => {
    const handshakes = new Handshakes(given);
    const flow = handshakes.engine.flow('f');
    t.equal(flow?.state, reason ? 'refused' : 'relayed');
    t.equal(flow?.reason, reason);
    const offsets = { consumedFromPeer: 0, injectedToCore: 0, consumedFromCore: 0, injectedToPeer: 0 };
    handshakes.engine.enable('f', offsets, 0);
    t.equal(flow?.state, reason ? 'refused' : 'stitched', 'whoever asks');
    for (const from of ORDER) {
      const verdict = handshakes.data(from);
      t.equal(verdict, reason ? Verdict.Pass : Verdict.Emit, `${from}: ${reason ? 'relayed' : 'carried'}`);
    }
  });
}

t.test('the second SYN asks for what the first connection has', async (t) => {
  const second = (given: Partial<Record<From, GivenSyn>>): TcpSegment => {
    const syn = new Handshakes(given).sent.get('A>B');
    if (!syn) throw new Error('no second SYN');
    return syn;
  };
  t.equal(second({}).options, USUAL);
  t.equal(second({ E: { options: Mss } }).options, Mss | WindowScale, 'a scale is converted');
  t.equal(second({ 'A>E': { options: Mss | Timestamps } }).options, Mss | Timestamps | WindowScale);
  t.equal(second({ 'A>B': { flags: Ece | Cwr } }).flags, Syn, 'no ECN that the peer has not');
  t.equal(second({ E: { mss: 900 } }).mss, 900);
  t.equal(second({ E: { mss: 9000 } }).mss, 1460, 'never raised');
  t.equal(second({ E: { options: 0 } }).mss, 536, 'RFC 9293 section 3.7.1: without the option');
  t.equal(second({ E: { mss: 900 } }).flags & Ack, 0);
});

t.test('one connection IPv4, the other IPv6: refused, and relayed', async (t) => {
  const driver = new Driver().openUnpaired();
  const inner = {
    local: { address: 'fd00:2::2', port: 20_000 },
    remote: { address: 'fd00:3::2', port: 8080 },
  };
  driver.engine.pair('f', OUTER, inner, driver.now);
  t.equal(driver.state, 'refused');
  t.equal(driver.engine.flow('f')?.reason, 'family-differs');
  t.equal(driver.send('E', { seq: 0, ack: 0, len: 10, tsval: 110, tsecr: 100 }), 'pass');
});
