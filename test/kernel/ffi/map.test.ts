import t, { type Test } from 'tap';
import { BpfMap, ElementFlag } from '../../../src/dataplane/kernel/libbpf.js';
import { FRAME, key32, loaded, pinFolder, u64 } from './support.js';

/** What every refusal of the kernel has. */
const code = 'SUT_DATAPLANE_FAILED';

async function mapOf(t: Test, name: string): Promise<BpfMap> {
  const map = (await loaded(t)).map(name);
  t.teardown(() => map.close());
  return map;
}

function row(number: bigint, more = 0): Buffer {
  const value = Buffer.alloc(16);
  value.writeBigUInt64LE(number);
  value.writeUInt32LE(more, 8);
  return value;
}

/** Keys `from` to `from + count - 1`, and values that hold three times the key. */
function rows(from: number, count: number): [keys: Buffer, values: Buffer] {
  const numbers = Array.from({ length: count }, (_, index) => from + index);
  return [Buffer.concat(numbers.map(key32)), Buffer.concat(numbers.map((number) => row(BigInt(number * 3))))];
}

t.test('single elements', async (t) => {
  const table = await mapOf(t, 'table');
  t.match(table, { name: 'table', type: 1, keySize: 4, valueSize: 16, valueBytes: 16, maxEntries: 16 });
  const value = Buffer.alloc(16);
  t.equal(table.lookup(key32(7), value), false);
  t.equal(table.delete(key32(7)), false);
  table.update(key32(7), row(1n << 40n, 5));
  t.equal(table.lookup(key32(7), value), true);
  t.same(value, row(1n << 40n, 5));
  table.update(key32(7), row(2n), ElementFlag.Exist);
  t.equal(table.lookup(key32(7), value), true);
  t.same(value, row(2n));
  t.equal(table.insert(key32(7), row(9n)), false, 'the key is there');
  t.equal(table.lookup(key32(7), value), true);
  t.same(value.subarray(0, row(2n).length), row(2n), 'and keeps its value');
  t.equal(table.insert(key32(8), row(9n)), true);
  t.equal(table.delete(key32(8)), true);

  t.throws(() => table.update(key32(7), row(3n), ElementFlag.NoExist), {
    code,
    errno: 'EEXIST',
    operation: 'update',
    subject: 'map table',
    message: /^map table: update failed: EEXIST/,
  });
  t.throws(() => table.update(key32(8), row(3n), ElementFlag.Exist), { code, errno: 'ENOENT' });
  t.equal(table.delete(key32(7)), true);
  t.equal(table.lookup(key32(7), value), false);
});

t.test('a full map', async (t) => {
  const table = await mapOf(t, 'table');
  for (let key = 0; key < 16; key += 1) table.update(key32(key), row(0n));
  t.throws(() => table.update(key32(16), row(0n)), { code, errno: 'E2BIG', message: /the map is full/ });
});

t.test('buffers that are too short never reach the kernel', async (t) => {
  const table = await mapOf(t, 'table');
  const short = Buffer.alloc(15);
  const expected = { code: 'SUT_INTERNAL', message: /15 bytes of value where 16 are needed/ };
  t.throws(() => table.lookup(key32(1), short), expected);
  t.throws(() => table.update(key32(1), short), expected);
  t.throws(() => table.lookup(Buffer.alloc(3), row(0n)), { message: /3 bytes of key where 4/ });
  t.throws(() => table.delete(Buffer.alloc(3)), { message: /3 bytes of key where 4/ });
  t.throws(() => table.updateBatch(Buffer.alloc(8), row(0n), 2), { message: /16 bytes of values where 32/ });
  t.throws(() => table.deleteBatch(Buffer.alloc(8), 3), { message: /8 bytes of keys where 12/ });
  t.throws(() => table.lookupBatch(table.cursor(), key32(0), short), { message: /15 bytes/ });
  t.throws(() => table.lookupBatch(table.cursor(), Buffer.alloc(3), row(0n)), { message: /3 bytes of key/ });
  const counters = await mapOf(t, 'counters');
  t.throws(() => counters.lookup(key32(0), Buffer.alloc(4)), { message: /4 bytes of value where \d+/ });
});

t.test('per-CPU values: one part for each CPU', async (t) => {
  const object = await loaded(t);
  const counters = object.map('counters');
  const judge = object.program('judge');
  t.teardown(() => [counters, judge].map((one) => one.close()));
  t.equal(counters.valueSize, 4);
  t.equal(counters.cpuStride, 8);
  t.equal(counters.valueBytes % 8, 0);
  judge.testRun({ data: FRAME, repeat: 5 });
  const values = Buffer.alloc(counters.valueBytes);
  t.equal(counters.lookup(key32(0), values), true);
  let sum = 0;
  for (let at = 0; at < values.length; at += counters.cpuStride) sum += values.readUInt32LE(at);
  t.equal(sum, 5);
});

t.test('values with a spin lock are read and written under it', async (t) => {
  const guarded = await mapOf(t, 'guarded');
  const value = Buffer.alloc(guarded.valueSize);
  value.writeUInt32LE(9, 4);
  guarded.update(key32(1), value);
  value.writeUInt32LE(10, 4);
  guarded.update(key32(1), value, ElementFlag.Lock | ElementFlag.Exist);
  value.fill(0);
  t.equal(guarded.lookup(key32(1), value, ElementFlag.Lock), true);
  t.equal(value.readUInt32LE(4), 10);
  const cursor = guarded.cursor();
  value.fill(0);
  t.equal(guarded.lookupBatch(cursor, Buffer.alloc(4 * 4), Buffer.alloc(4 * 8), ElementFlag.Lock), 1);
  const table = await mapOf(t, 'table');
  table.update(key32(1), row(1n));
  t.throws(() => table.lookup(key32(1), row(0n), ElementFlag.Lock), { code, errno: 'EINVAL' });
});

t.test('stacks give back the last value first, queues the first', async (t) => {
  for (const [name, order] of [
    ['spare', [4, 3, 2, 1]],
    ['waiting', [1, 2, 3, 4]],
  ] as const) {
    const map = await mapOf(t, name);
    const value = Buffer.alloc(4);
    t.equal(map.pop(value), false);
    for (const number of [1, 2, 3, 4]) map.push(key32(number));
    t.throws(() => map.push(key32(5)), { code, errno: 'E2BIG', operation: 'push', subject: `map ${name}` });
    const popped = order.map(() => (map.pop(value) ? value.readUInt32LE() : undefined));
    t.strictSame(popped, order);
    t.equal(map.pop(value), false);
    t.throws(() => map.push(Buffer.alloc(3)), { code: 'SUT_INTERNAL' });
  }
});

t.test('batches of a hash', async (t) => {
  const object = await loaded(t, (object) => object.setMaxEntries('table', 10_000));
  const table = object.map('table');
  t.teardown(() => table.close());
  const [keys, values] = rows(0, 10_000);
  table.updateBatch(keys, values, 10_000);
  t.throws(() => table.updateBatch(...rows(9_998, 4), 4), { code, errno: 'E2BIG', done: 2 });

  const seen = new Set<number>();
  const cursor = table.cursor();
  const someKeys = Buffer.alloc(4 * 256);
  const someValues = Buffer.alloc(16 * 256);
  while (!cursor.done) {
    const count = table.lookupBatch(cursor, someKeys, someValues);
    for (let index = 0; index < count; index += 1) {
      const key = someKeys.readUInt32LE(4 * index);
      if (someValues.readBigUInt64LE(16 * index) === BigInt(key * 3)) seen.add(key);
    }
  }
  t.equal(seen.size, 10_000);
  t.equal(table.lookupBatch(cursor, someKeys, someValues), 0, 'a walk that is done stays done');

  table.delete(key32(5));
  table.delete(key32(8));
  t.equal(table.deleteBatch(keys, 10), 8, 'those that are not there are passed over');
  t.equal(table.deleteBatch(keys, 10), 0);
  t.equal(table.deleteBatch(keys.subarray(40), 9_990), 9_990);
  t.equal(table.lookupBatch(table.cursor(), someKeys, someValues), 0);
});

t.test('batches of an array', async (t) => {
  const numbers = await mapOf(t, 'numbers');
  const keys = Buffer.concat([0, 1, 2, 3, 4, 5, 6, 7].map(key32));
  const values = Buffer.concat([0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n].map(u64));
  numbers.updateBatch(keys, values, 8);
  const found: bigint[] = [];
  const cursor = numbers.cursor();
  const someKeys = Buffer.alloc(4 * 3);
  const someValues = Buffer.alloc(8 * 3);
  while (!cursor.done) {
    const count = numbers.lookupBatch(cursor, someKeys, someValues);
    for (let index = 0; index < count; index += 1) found.push(someValues.readBigUInt64LE(8 * index));
  }
  t.strictSame(found, [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n]);
  numbers.updateBatch(keys, values, 0);
});

t.test('pins', async (t) => {
  const folder = await pinFolder(t);
  const table = await mapOf(t, 'table');
  table.update(key32(1), row(42n));
  t.equal(BpfMap.fromPin(`${folder}/table`), undefined);
  table.pin(`${folder}/table`);
  t.throws(() => table.pin(`${folder}/table`), {
    code,
    errno: 'EEXIST',
    operation: `pin at ${folder}/table`,
  });
  t.throws(() => table.pin('/tmp/no-bpffs'), { code, subject: 'map table' });
  table.close();
  table.close();
  const again = BpfMap.fromPin(`${folder}/table`);
  const value = Buffer.alloc(16);
  t.equal(again?.lookup(key32(1), value), true);
  t.same(value, row(42n));
  again?.close();

  const judge = (await loaded(t)).program('judge');
  judge.pin(`${folder}/judge`);
  judge.close();
  t.throws(() => BpfMap.fromPin(`${folder}/judge`), { message: /judge: what is pinned there is no map/ });
});

t.test('the memory that a map has', async (t) => {
  const small = await mapOf(t, 'table');
  const large = (await loaded(t, (object) => object.setMaxEntries('table', 10_000))).map('table');
  t.teardown(() => large.close());
  t.ok(small.memlock() > 0);
  t.ok(large.memlock() > 10_000 * (4 + 16), 'more than keys and values');
});
