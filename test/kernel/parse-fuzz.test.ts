/**
 * Headers that lie, given to the kernel's program and to the userspace path: lengths, types, versions and offsets that
 * say anything, frames that are cut short, bytes behind the packet. Both must see the same packet or none. The userspace
 * parsers are held to never read past the end (test/property/wire-fuzz.test.ts), and the kernel's program must find
 * just what they find, whatever stands behind.
 *
 * For SUTURE_FUZZ_SECONDS (5 unless set); `SUTURE_PARSE_SEED=n` begins elsewhere.
 */
import fc from 'fast-check';
import { finishChecksum, sumBytes } from '../../src/wire/checksum.js';
import { FrameKind, FrameView } from '../../src/wire/frame.js';
import { IPV4 } from '../../src/wire/ipv4.js';
import { computeChecksum } from '../../src/wire/rewrite.js';
import { NOPS, raw } from './support/cases.js';
import { type Family, TwinDriver, withKernel, withTwin } from './support/driver.js';
import { ETHERNET_HEADER } from './support/frames.js';

const SECONDS = Number(process.env.SUTURE_FUZZ_SECONDS ?? 5);
const SEED = process.env.SUTURE_PARSE_SEED;
const FRAMES = 40;
/** What the kernel's test run takes at the least, whatever the family: Ethernet's header and IPv6's. */
const SHORTEST = ETHERNET_HEADER + 40;
const IPV6_SOURCE = 8;
const IPV6_END = 40;

/** Where lengths, types and offsets stand; addresses and ports stay, so that most are still packets of the flow. */
const edit = fc.tuple(
  fc.oneof({ weight: 3, arbitrary: fc.nat(9) }, { weight: 2, arbitrary: fc.integer({ min: 24, max: 110 }) }),
  fc.oneof(
    fc.constantFrom(0, 1, 2, 4, 5, 6, 8, 10, 43, 44, 58, 60, 0x40, 0x45, 0x4f, 0x50, 0x60, 0x80, 0xf0, 0xff),
    fc.nat(255),
  ),
);

const frames = fc.record({
  from: fc.constantFrom('E' as const, 'B' as const),
  length: fc.nat(60),
  tcpOptions: fc.nat(10),
  /** Words of IPv4 options, or which extension headers. */
  between: fc.nat(5),
  edits: fc.array(edit, { maxLength: 4 }),
  etherType: fc.option(fc.constantFrom(0x0800, 0x86dd, 0x0806, 0), { freq: 12 }),
  cut: fc.option(fc.nat(140), { freq: 4 }),
  behind: fc.uint8Array({ maxLength: 40 }),
});
type GivenFrame = typeof frames extends fc.Arbitrary<infer T> ? T : never;

const EXTENSIONS = [[], [0], [60], [0, 43], [60, 60, 60], [0, 60, 43, 60]];

function frameOf(driver: TwinDriver, given: GivenFrame): Buffer {
  const extensions = (EXTENSIONS[given.between] ?? []).map((type) => ({ type, body: Buffer.alloc(8) }));
  const segment = given.from === 'E' ? { seq: 150, ack: 0 } : { seq: 0, ack: 150 };
  const more = {
    options: NOPS(4 * given.tcpOptions),
    ipOptions: NOPS(4 * given.between),
    extensions,
  };
  const whole = raw(driver, given.from, { ...segment, len: given.length }, more);
  for (const [at, value] of given.edits) edited(whole, at, value, driver.family);
  if (given.etherType !== null) whole.writeUInt16BE(given.etherType, 12);
  const kept = given.cut === null ? whole : whole.subarray(0, Math.max(SHORTEST, given.cut));
  return mended(Buffer.concat([kept, given.behind]));
}

function edited(frame: Buffer, at: number, value: number, family: Family): void {
  const isAddress =
    family === 6 ? at >= IPV6_SOURCE && at < IPV6_END : at >= IPV4.source && at < IPV4.minHeader;
  const offset = ETHERNET_HEADER + at;
  if (!isAddress && offset < frame.length) frame[offset] = value;
}

const view = new FrameView();

/** With right checksums, as far as there is a packet: a wrong one is another matter, and the two paths differ there. */
function mended(frame: Buffer): Buffer {
  const kind = view.parse(frame, frame.length);
  if (view.ipVersion === 4 && view.l4 > view.l3) {
    frame.writeUInt16BE(0, view.l3 + IPV4.checksum);
    frame.writeUInt16BE(finishChecksum(sumBytes(frame, view.l3, view.l4, 0)), view.l3 + IPV4.checksum);
  }
  if (kind === FrameKind.Tcp) computeChecksum(view);
  return frame;
}

withKernel('headers that lie', (t, kernel) => {
  let frameCount = 0;
  let compared = 0;
  const world = fc.record({ family: fc.constantFrom<Family>(4, 6), draining: fc.boolean() });
  const property = fc.property(
    world,
    fc.array(frames, { minLength: FRAMES / 2, maxLength: FRAMES }),
    ({ family, draining }, list) => {
      withTwin(kernel, (twin) => {
        const driver = new TwinDriver(twin, {}, family);
        driver.reach(draining ? 'cutting' : 'stitched');
        for (const given of list) twin.receiveFrame(frameOf(driver, given), driver.now);
        frameCount += list.length;
        compared += twin.compared;
      });
    },
  );
  fc.assert(property, {
    ...(SEED !== undefined && { seed: Number(SEED) }),
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: SECONDS * 1000,
    markInterruptAsFailure: false,
  });
  t.ok(frameCount > 0 && compared > 0, `${frameCount} frames, ${compared} packets sent by both`);
  t.end();
});
