/**
 * Packets that no stack would send, on a flow in each of its states: the kernel's program and the flow engine have to
 * agree on every one. Numbers lie near the edges that the two compare with.
 *
 * `SUTURE_TWIN_RUNS=n` makes n runs for each state; `SUTURE_TWIN_FUZZ_SEED=n` begins elsewhere.
 */
import * as fc from 'fast-check';
import type { Connection } from '../../src/flow/connection.js';
import { FLOW_STATES, type FlowState, TEARDOWN_MODES } from '../../src/flow/state.js';
import type { DriverOptions } from '../flow/driver.js';
import { type From, INNER, NO_OFFSETS, OUTER } from '../flow/driver.js';
import { type Family, TwinDriver, withKernel, withTwin } from './support/driver.js';
import { rawFrame } from './support/frames.js';
import { insideEngine } from './support/inside.js';

const RUNS = Number(process.env.SUTURE_TWIN_RUNS ?? 150);
const SEED = Number(process.env.SUTURE_TWIN_FUZZ_SEED ?? 1);
const PACKETS = 25;
const MOST_OPTIONS = 40;

/** A number by what it lies near, as the flow is when the packet is sent. */
interface Near {
  readonly of: number;
  readonly by: number;
}

interface GivenPacket {
  readonly kind: 'packet';
  readonly from: From;
  readonly seq: Near;
  readonly ack: Near;
  readonly flags: number;
  readonly window: number;
  readonly urgent: number;
  readonly length: number;
  readonly options: readonly GivenOption[];
  readonly ttl: number;
  readonly ipWords: number;
  readonly padding: number;
  readonly advance: number;
}

type GivenOption =
  | { readonly kind: 'bytes'; readonly bytes: readonly number[] }
  | { readonly kind: 'timestamps'; readonly tsval: Near; readonly tsecr: Near }
  | { readonly kind: 'sack'; readonly edges: readonly Near[] };

interface GivenTick {
  readonly kind: 'tick' | 'close' | 'enable' | 'pair' | 'proceed';
  readonly advance: number;
}

type Given = GivenPacket | GivenTick;

const near = fc.record({
  of: fc.nat(40),
  by: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(0, 0, 0, 1, -1, 2) },
    { weight: 3, arbitrary: fc.integer({ min: -200, max: 200 }) },
    { weight: 1, arbitrary: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) },
  ),
});

const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const ACK = 0x10;
const flags = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(ACK, ACK, ACK | 0x08) },
  { weight: 2, arbitrary: fc.constantFrom(ACK | FIN, ACK | RST, RST, SYN, SYN | ACK, FIN) },
  { weight: 1, arbitrary: fc.nat(255) },
);

const option: fc.Arbitrary<GivenOption> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('timestamps' as const), tsval: near, tsecr: near }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('sack' as const),
      edges: fc.array(near, { minLength: 2, maxLength: 8 }).filter((edges) => edges.length % 2 === 0),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('bytes' as const),
      bytes: fc.constantFrom(
        [1],
        [1, 1],
        [0],
        [2, 4, 5, 0xb4],
        [2, 4, 0, 0],
        [3, 3, 7],
        [3, 3, 200],
        [4, 2],
        [5, 2],
        [5, 11, 0, 0, 0, 1, 0, 0, 0, 2, 3],
        [8, 9, 1, 2, 3, 4, 5, 6, 7],
        [19, 18, ...new Array<number>(16).fill(7)],
        [29, 4, 1, 2],
        [30, 4, 1, 2],
        [34, 2],
        [253, 4, 1, 2],
        [254, 1],
        [77, 60],
        [6],
      ),
    }),
  },
);

const packet: fc.Arbitrary<Given> = fc.record({
  kind: fc.constant('packet' as const),
  from: fc.constantFrom<From>('E', 'B', 'A>E', 'A>B'),
  seq: near,
  ack: near,
  flags,
  window: fc.oneof(fc.constantFrom(0, 1, 60_000, 65_535), fc.nat(65_535)),
  urgent: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(65_535) }),
  length: fc.oneof(fc.constantFrom(0, 0, 1, 50), fc.nat(300)),
  options: fc.oneof(
    { weight: 3, arbitrary: fc.constant<GivenOption[]>([]) },
    { weight: 5, arbitrary: fc.array(option, { maxLength: 4 }) },
  ),
  ttl: fc.oneof({ weight: 9, arbitrary: fc.constant(64) }, { weight: 1, arbitrary: fc.nat(3) }),
  ipWords: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(10) }),
  padding: fc.oneof(fc.constant(0), fc.nat(20)),
  advance: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(50) }),
});

const tick: fc.Arbitrary<Given> = fc.record({
  kind: fc.constantFrom(
    'tick' as const,
    'tick' as const,
    'enable' as const,
    'pair' as const,
    'close' as const,
    'proceed' as const,
    'proceed' as const,
  ),
  advance: fc.oneof(fc.nat(50), fc.nat(31_000)),
});

const driverOptions: fc.Arbitrary<DriverOptions> = fc.record({
  teardown: fc.constantFrom(...TEARDOWN_MODES),
  timestamps: fc.boolean(),
  sack: fc.boolean(),
  scale: fc.record({ E: fc.nat(15), 'A>E': fc.nat(14), 'A>B': fc.nat(14), B: fc.nat(15) }),
  mss: fc.record({ E: fc.constantFrom(0, 536, 1460), B: fc.constantFrom(9, 1460) }),
});

const steps = fc.array(fc.oneof({ weight: 12, arbitrary: packet }, { weight: 1, arbitrary: tick }), {
  minLength: 1,
  maxLength: PACKETS,
});

/** Every number that the two hold of a connection, and of the other in this one's terms. */
function edgesOf(x: Connection): number[] {
  const own = [x.far, x.shell].flatMap((of) => [of.isn, of.max, of.dataMax, of.ack, of.edge, of.finEnd]);
  const told = [x.toldAck, x.toldEdge, x.toldMax, x.toldShellAck, x.toldShellEdge];
  const cuts = [x.cut, x.cutMax, x.transparentFrom];
  const y = x.other;
  const mapped = [y.far.ack, y.far.edge, y.shell.max].map((seq) => seq - x.delta);
  const across = [y.far.max, y.shell.ack, y.far.dataMax, y.far.finEnd, y.toldAck, y.cut, y.cutMax];
  const other = [...across, y.transparentFrom, y.transparentFrom].map((seq) => seq + y.delta);
  return [...own, ...told, ...cuts, ...mapped, ...other];
}

function stampsOf(x: Connection): number[] {
  return [x.far.tsval, x.shell.tsval, x.toldTsval, x.other.toldTsval, x.other.shell.tsval];
}

function pick(values: readonly number[], { of, by }: Near): number {
  return ((values[of % values.length] ?? 0) + by) >>> 0;
}

function optionBytes(options: readonly GivenOption[], edges: number[], stamps: number[]): Buffer {
  const parts = options.map((given) => {
    if (given.kind === 'bytes') return Buffer.from(given.bytes);
    const words = given.kind === 'sack' ? given.edges : [given.tsval, given.tsecr];
    const part = Buffer.alloc(2 + 4 * words.length);
    part[0] = given.kind === 'sack' ? 5 : 8;
    part[1] = part.length;
    const values = given.kind === 'sack' ? edges : stamps;
    for (const [i, word] of words.entries()) part.writeUInt32BE(pick(values, word), 2 + 4 * i);
    return part;
  });
  const all = Buffer.concat(parts).subarray(0, MOST_OPTIONS);
  return Buffer.concat([all, Buffer.alloc((4 - (all.length % 4)) % 4, 1)]);
}

/** One IPv6 extension header after the other; a routing header with segments left is not for TCP. */
function extensionsOf(words: number): { type: number; body: Buffer }[] {
  const types = [[], [60], [0], [0, 60], [43], [0, 43, 60, 60]][words % 6] ?? [];
  return types.map((type) => {
    const body = Buffer.alloc(8 * (1 + (words >> 3)), 1);
    body[1] = words >> 3;
    body[3] = type === 43 && words % 5 === 0 ? 1 : 0;
    return { type, body };
  });
}

function send({ twin, tuples, now }: TwinDriver, given: GivenPacket): void {
  const tuple = tuples[given.from];
  const entry = insideEngine(twin.engine).index.find(tuple);
  const edges = entry ? edgesOf(entry.connection) : [0, 1000];
  const stamps = entry ? stampsOf(entry.connection) : [0, 1000];
  const frame = rawFrame({
    tuple,
    seq: pick(edges, given.seq),
    ack: pick(edges, given.ack),
    flags: given.flags,
    window: given.window,
    urgent: given.urgent,
    length: given.length,
    options: optionBytes(given.options, edges, stamps),
    ttl: given.ttl,
    ipOptions: Buffer.alloc(4 * given.ipWords, 1),
    extensions: extensionsOf(given.ipWords),
    padding: given.padding,
  });
  twin.receiveFrame(frame, now);
}

function act(driver: TwinDriver, given: Given): void {
  const { twin } = driver;
  driver.now += given.advance;
  if (given.kind === 'packet') send(driver, given);
  else if (given.kind === 'tick') twin.tick(driver.now);
  else if (given.kind === 'enable') twin.enable('f', NO_OFFSETS, driver.now, driver.teardown);
  else if (given.kind === 'proceed') twin.proceed('f', given.advance % 2 === 0 ? 'peer' : 'core', driver.now);
  else if (given.kind === 'pair') driver.pairAs('g', OUTER, INNER, driver.now);
  else twin.close('f', driver.now);
}

type Start = FlowState | 'unpaired' | 'nothing';
const STARTS: readonly Start[] = ['nothing', 'unpaired', ...FLOW_STATES];

withKernel('random packets in every state', (t, kernel) => {
  for (const start of STARTS) {
    t.test(start, (t) => {
      let compared = 0;
      const family = fc.constantFrom<Family>(4, 4, 6);
      const world = fc.record({ options: driverOptions, family, forgetAfter: fc.nat(3) });
      const property = fc.property(world, steps, ({ options, family, forgetAfter }, given) => {
        withTwin(
          kernel,
          (twin) => {
            const driver = new TwinDriver(twin, options, family);
            if (start === 'unpaired') driver.openUnpaired();
            else if (start !== 'nothing') driver.reach(start);
            for (const each of given) act(driver, each);
            compared += twin.compared;
          },
          { forgetAfter },
        );
      });
      fc.assert(property, { numRuns: RUNS, seed: SEED });
      t.ok(compared > 0 || start === 'nothing', `${compared} packets compared`);
      t.end();
    });
  }
});
