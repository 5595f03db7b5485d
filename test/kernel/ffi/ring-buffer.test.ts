import t, { type Test } from 'tap';
import { type BpfMap, type BpfProgram, RingBuffer } from '../../../src/dataplane/kernel/libbpf.js';
import { systemClock } from '../../../src/platform/clock.js';
import { FRAME, key32, loaded, turn } from './support.js';

const RECORD_BYTES = 12;
const LARGE_RECORD_BYTES = 1004;
const RECORDS = 10_000;

interface Setting {
  readonly ring: RingBuffer;
  readonly tell: BpfProgram;
  readonly events: BpfMap;
  readonly numbers: BpfMap;
}

async function setting(t: Test): Promise<Setting> {
  const object = await loaded(t);
  const [events, numbers, tell] = [object.map('events'), object.map('numbers'), object.program('tell')];
  const ring = new RingBuffer(events);
  t.teardown(() => {
    ring.stop();
    for (const one of [events, numbers, tell]) one.close();
  });
  return { ring, tell, events, numbers };
}

/** The number in a record; NaN when it is not whole. */
function numberIn(record: Buffer, bytes = RECORD_BYTES): number {
  const number = record.readUInt32LE(0);
  const whole = record.length === bytes && record.readUInt32LE(4) === ~number >>> 0;
  return whole && record.readUInt32LE(8) === bytes ? number : Number.NaN;
}

/** Every record arrived once, in the order in which it was written. */
function inOrder(numbers: readonly number[]): boolean {
  return numbers.every((number, index) => number === index);
}

t.test(`${RECORDS} records arrive whole, once and in order`, async (t) => {
  const { ring, tell } = await setting(t);
  const numbers: number[] = [];
  const all = new Promise<void>((resolve) => {
    ring.start((record) => {
      if (numbers.push(numberIn(record)) === RECORDS) resolve();
    });
  });
  // In parts, so that some come while the reader waits and some while it reads.
  for (let part = 0; part < 20; part += 1) {
    tell.testRun({ data: FRAME, repeat: RECORDS / 20 });
    await (part % 2 ? turn() : systemClock.sleep(1));
  }
  await all;
  await systemClock.sleep(20);
  t.equal(numbers.length, RECORDS);
  t.ok(inOrder(numbers));
});

t.test('one record is enough to wake a reader, time after time', async (t) => {
  const { ring, tell } = await setting(t);
  for (let round = 0; round < 5; round += 1) {
    const woken = new Promise<number>((resolve) => ring.start((record) => resolve(numberIn(record))));
    await systemClock.sleep(5);
    tell.testRun({ data: FRAME });
    t.equal(await woken, round);
    ring.pause();
  }
});

t.test('others get their turn while many records wait', async (t) => {
  const { ring, tell } = await setting(t);
  tell.testRun({ data: FRAME, repeat: RECORDS });
  let read = 0;
  let turns = 0;
  const done = new Promise<void>((resolve) => {
    ring.start(() => {
      read += 1;
      if (read === RECORDS) resolve();
    });
  });
  const count = (): void => {
    if (read > 0 && read < RECORDS) turns += 1;
    if (read < RECORDS) setImmediate(count);
  };
  setImmediate(count);
  await done;
  t.ok(turns >= 8, `${turns} turns`);
});

t.test('large records', async (t) => {
  const { ring, tell } = await setting(t);
  const ctx = Buffer.alloc(192);
  ctx.writeUInt32LE(1, 8);
  const numbers: number[] = [];
  ring.start((record) => numbers.push(numberIn(record, LARGE_RECORD_BYTES)));
  tell.testRun({ data: FRAME });
  tell.testRun({ data: FRAME, ctx, repeat: 3 });
  ring.consume();
  t.ok(Number.isNaN(numbers.shift()), 'the first was a small one');
  t.strictSame(numbers, [1, 2, 3]);
});

t.test('consume reads what is there, up to a limit', async (t) => {
  const { tell, events } = await setting(t);
  const numbers: number[] = [];
  const ring = new RingBuffer(events, (record) => numbers.push(numberIn(record)));
  t.equal(ring.consume(), 0);
  tell.testRun({ data: FRAME, repeat: 10 });
  t.equal(ring.consume(4), 4);
  t.equal(ring.consume(), 6);
  t.equal(ring.consume(), 0);
  t.ok(inOrder(numbers));
  ring.stop();
  t.equal(ring.consume(), 0, 'nothing more once it is stopped');
  ring.stop();
  t.throws(() => ring.start(), { code: 'SUT_INTERNAL' });
});

t.test('what a reader throws comes out, and the rest is still there', async (t) => {
  const { tell, events } = await setting(t);
  const numbers: number[] = [];
  const ring = new RingBuffer(events, (record) => {
    numbers.push(numberIn(record));
    if (numbers.length === 3) throw new Error('third');
  });
  tell.testRun({ data: FRAME, repeat: 5 });
  t.throws(() => ring.consume(), { message: 'third' });
  t.equal(ring.consume(), 2);
  t.ok(inOrder(numbers));
  ring.stop();
});

t.test('a reader may use maps, and stop the buffer', async (t) => {
  const { ring, tell, numbers } = await setting(t);
  let read = 0;
  const value = Buffer.alloc(8);
  const stopped = new Promise<void>((resolve) => {
    ring.start((record) => {
      read += 1;
      value.writeBigUInt64LE(BigInt(numberIn(record)));
      numbers.update(key32(2), value);
      value.fill(0);
      numbers.lookup(key32(2), value);
      if (read < 7) return;
      ring.stop();
      resolve();
    });
  });
  tell.testRun({ data: FRAME, repeat: 20 });
  await stopped;
  await turn();
  t.equal(read, 7);
  t.equal(value.readBigUInt64LE(), 6n);
});

t.test('a buffer that is stopped before its turn is not read', async (t) => {
  const { ring, tell } = await setting(t);
  let read = 0;
  ring.start(() => {
    read += 1;
  });
  tell.testRun({ data: FRAME, repeat: 20 });
  ring.stop();
  await systemClock.sleep(20);
  t.equal(read, 0);
});

t.test('another kind of map', async (t) => {
  const table = (await loaded(t)).map('table');
  t.teardown(() => table.close());
  t.throws(() => new RingBuffer(table), { code: 'SUT_INTERNAL', message: /table is no ring buffer/ });
});
