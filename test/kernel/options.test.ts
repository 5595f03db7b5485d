/**
 * TCP options through the kernel's program beside the flow engine: windows at all pairs of scales, and options at every
 * offset that they can have. The twin compares byte for byte, checksums included.
 */
import { type From, NO_OFFSETS } from '../flow/driver.js';
import { raw } from './support/cases.js';
import { TwinDriver, withKernel, withTwin } from './support/driver.js';

const SCALES = Array.from({ length: 15 }, (_, scale) => scale);
const WINDOWS = [0, 1, 3, 1000, 65_535];
const MOST_OPTIONS = 40;

withKernel('windows at all pairs of scales', (t, kernel) => {
  let compared = 0;
  for (const own of SCALES) {
    for (const other of SCALES) {
      const scale = { E: own, 'A>B': other, B: own, 'A>E': other };
      withTwin(kernel, (twin) => {
        const driver = new TwinDriver(twin, { scale, timestamps: false }, (own + other) % 2 === 0 ? 4 : 6);
        driver.open().enable();
        if (driver.state !== 'stitched') throw new Error(`${own} and ${other}: ${driver.state}`);
        for (const window of WINDOWS) {
          for (const from of ['E', 'B'] as const) driver.send(from, { seq: 0, ack: 0, window });
        }
        compared += twin.compared;
      });
    }
  }
  t.ok(compared >= 15 * 15 * WINDOWS.length * 2, `${compared} packets compared`);
  t.end();
});

function u32(...words: number[]): number[] {
  return words.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]);
}

/** Two NOPs put both at even offsets, one or three at odd ones; nothing says that options stand in any order. */
function options(before: number, between: number, sackFirst: boolean, blocks: readonly number[]): Buffer {
  const timestamps = [8, 10, ...u32(120, 110)];
  const sack = [5, 2 + 4 * blocks.length, ...u32(...blocks)];
  const nops = (count: number): number[] => new Array<number>(count).fill(1);
  const [first, second] = sackFirst ? [sack, timestamps] : [timestamps, sack];
  const bytes = [...nops(before), ...first, ...nops(between), ...second];
  return Buffer.from([...bytes, ...nops((4 - (bytes.length % 4)) % 4)]);
}

withKernel('options at odd offsets and in any order', (t, kernel) => {
  let compared = 0;
  let tried = 0;
  for (const family of [4, 6] as const) {
    for (const consumed of [0, 20]) {
      withTwin(kernel, (twin) => {
        const driver = new TwinDriver(twin, {}, family);
        driver.open().holdBytes();
        const offsets = { ...NO_OFFSETS, consumedFromPeer: consumed, consumedFromCore: 0 };
        driver.twin.enable('f', offsets, driver.now);
        driver.send('A>B', { seq: 100, ack: 0, len: 50 - consumed, tsval: 120, tsecr: 110 });
        driver.send('B', { seq: 0, ack: 150 - consumed, tsval: 120, tsecr: 110 });
        if (consumed === 0 && driver.state !== 'stitched') throw new Error(`it is ${driver.state}`);
        for (let before = 0; before < 8; before++) {
          for (let between = 0; between < 4; between++) {
            for (const sackFirst of [true, false]) {
              for (const from of ['E', 'B'] as const) {
                const bytes = options(before, between, sackFirst, blocksFor(driver, from));
                if (bytes.length > MOST_OPTIONS) continue;
                tried++;
                const given = from === 'E' ? { seq: 150, ack: 0, len: 3 } : { seq: 0, ack: 150, len: 5 };
                twin.receiveFrame(raw(driver, from, given, { options: bytes }), driver.now);
              }
            }
          }
        }
        compared += twin.compared;
      });
    }
  }
  t.ok(tried > 200 && compared >= tried, `${tried} arrangements, ${compared} packets compared`);
  t.end();
});

/** One block below what was acknowledged, in the numbers of the packet's receiver. */
function blocksFor(driver: TwinDriver, from: From): number[] {
  const segment = driver.segment(from, { seq: 0, ack: 0, sack: [[20, 40]] });
  return [segment.sackLeft[0] as number, segment.sackRight[0] as number];
}
