import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { BpfError, BpfMap, BpfObject } from '../../../src/dataplane/kernel/libbpf.js';
import { compile, FRAME, key32, open, pinFolder, u64 } from './support.js';

t.test('constants are set by their names, before the object is loaded', async (t) => {
  const object = await open(t, 'ground');
  const settings = Buffer.alloc(16);
  settings.writeUInt32LE(10, 0);
  settings.writeBigUInt64LE(100n, 8);
  object.setConstant('settings', settings);
  object.setConstant('offset', -3);
  object.setConstant('verdict', 2);
  object.load();
  const judge = object.program('judge');
  const numbers = object.map('numbers');
  t.teardown(() => [judge, numbers].map((one) => one.close()));
  t.equal(judge.testRun({ data: FRAME }).retval, 2);
  const value = Buffer.alloc(8);
  t.equal(numbers.lookup(key32(0), value), true);
  t.equal(value.readBigUInt64LE(), 107n);
  const late = { code: 'SUT_INTERNAL', message: /ground\.bpf\.o is loaded already/ };
  t.throws(() => object.setConstant('verdict', 1), late);
  t.throws(() => object.setMaxEntries('table', 1), late);
  t.throws(() => object.reusePinned('table', '/nowhere'), late);
  t.throws(() => object.load(), late);
});

t.test('without, they are what the source says', async (t) => {
  const object = await open(t, 'ground');
  object.load();
  t.equal(object.warnings, '');
  const judge = object.program('judge');
  t.teardown(() => judge.close());
  t.equal(judge.testRun({ data: FRAME }).retval, 0);
});

t.test('a constant that there is not, or of another size', async (t) => {
  const object = await open(t, 'ground');
  t.throws(() => object.setConstant('nothing', 1), {
    code: 'SUT_DATAPLANE_UNAVAILABLE',
    message: /has no constant nothing \(there are .*verdict.*\); `npm run setup`/,
  });
  t.throws(() => object.setConstant('verdict', Buffer.alloc(2)), { message: /verdict has 1 bytes/ });
  t.throws(() => object.setConstant('settings', 1), { message: /settings has 16 bytes/ });
});

t.test('a program that the verifier rejects: its log is in the message', async (t) => {
  const object = await open(t, 'rejected');
  try {
    object.load();
    t.fail('loads');
  } catch (error) {
    t.ok(error instanceof BpfError);
    t.match(error, { code: 'SUT_DATAPLANE_UNAVAILABLE', operation: 'load', errno: 'EACCES' });
    const { message } = error as BpfError;
    t.match(message, /rejected\.bpf\.o: load failed: EACCES/);
    t.match(message, /prog 'careless': failed to load/, 'what libbpf said');
    t.match(message, /invalid access to packet, off=100 size=1/, 'what the verifier said');
    t.ok(message.length < 5000, 'no more than the end of it');
  }
});

t.test('a long log is cut at its beginning', async (t) => {
  const object = await open(t, 'rejected-late');
  try {
    object.load();
    t.fail('loads');
  } catch (error) {
    const { message } = error as BpfError;
    t.match(message, /^…/m);
    t.match(message, /invalid access to packet/, 'the reason is at the end');
    t.notMatch(message, /R1=ctx\(\) R10=fp0/, 'the beginning is gone');
    t.ok(message.length < 5000);
  }
});

t.test('what libbpf warned of is kept when the object loads all the same', async (t) => {
  // A static constant among global ones gets no place from libbpf, so the kernel refuses the types; a map with a
  // spin lock would go without its lock, and the program that takes it would be rejected.
  const object = await open(t, 'warned');
  object.load();
  t.match(object.warnings, /BTF/);
});

t.test('files that are no objects', async (t) => {
  t.throws(() => BpfObject.open('/nowhere/x.bpf.o'), {
    code: 'SUT_DATAPLANE_UNAVAILABLE',
    message: /\/nowhere\/x\.bpf\.o: open failed: ENOENT .*\n`npm run setup` builds it/,
  });
  const path = join(t.testdir({}), 'text.bpf.o');
  writeFileSync(path, 'no ELF at all');
  t.throws(() => BpfObject.open(path), { code: 'SUT_DATAPLANE_UNAVAILABLE', message: /is not a proper ELF/ });
});

t.test('maps and programs that there are not, or not yet', async (t) => {
  const object = await open(t, 'ground');
  t.throws(() => object.map('nothing'), { message: /has no map nothing/ });
  t.throws(() => object.program('nothing'), { message: /has no program nothing/ });
  t.throws(() => object.setMaxEntries('nothing', 1), { message: /has no map nothing/ });
  t.throws(() => object.map('table'), { code: 'SUT_INTERNAL', message: /before the object is loaded/ });
  t.throws(() => object.program('judge'), { code: 'SUT_INTERNAL', message: /before the object is loaded/ });
});

t.test('the size of a map is set before it is made', async (t) => {
  const object = await open(t, 'ground');
  object.setMaxEntries('table', 1000);
  object.load();
  const table = object.map('table');
  t.teardown(() => table.close());
  t.match(table, { maxEntries: 1000, keySize: 4, valueSize: 16, type: 1 });
});

t.test('what it gave out lives on when it is closed', async (t) => {
  const object = BpfObject.open(await compile(t, 'ground'));
  object.load();
  const judge = object.program('judge');
  const numbers = object.map('numbers');
  object.close();
  object.close();
  t.throws(() => object.map('numbers'), { code: 'SUT_INTERNAL', message: /is closed/ });
  t.equal(judge.testRun({ data: FRAME }).retval, 0);
  t.equal(numbers.lookup(key32(1), Buffer.alloc(8)), true);
  judge.close();
  numbers.close();
  t.throws(() => judge.testRun({ data: FRAME }), { code: 'SUT_INTERNAL', message: /judge is closed/ });
  t.throws(() => numbers.lookup(key32(1), Buffer.alloc(8)), { message: /numbers is closed/ });
});

t.test('a pinned map is taken over with what it holds', async (t) => {
  const folder = await pinFolder(t);
  const first = await open(t, 'ground');
  t.equal(first.reusePinned('numbers', `${folder}/numbers`), false, 'nothing there yet');
  first.load();
  const before = first.map('numbers');
  before.update(key32(3), u64(77n));
  before.pin(`${folder}/numbers`);
  before.close();
  first.close();

  const second = await open(t, 'ground');
  t.equal(second.reusePinned('numbers', `${folder}/numbers`), true);
  second.load();
  const after = second.map('numbers');
  const judge = second.program('judge');
  const value = Buffer.alloc(8);
  t.teardown(() => [after, judge].map((one) => one.close()));
  t.equal(after.lookup(key32(3), value), true);
  t.equal(value.readBigUInt64LE(), 77n);
  // The new program works on the old map, not on one of its own.
  after.update(key32(0), u64(55n));
  judge.testRun({ data: FRAME });
  const pinned = BpfMap.fromPin(`${folder}/numbers`);
  t.equal(pinned?.lookup(key32(0), value), true);
  t.equal(value.readBigUInt64LE(), 0n);
  t.equal(pinned?.id, after.id);
  pinned?.close();
});

t.test('a pinned map of another shape is refused', async (t) => {
  const folder = await pinFolder(t);
  const first = await open(t, 'ground');
  first.load();
  const table = first.map('table');
  table.pin(`${folder}/table`);
  table.close();
  const later = await open(t, 'moved');
  t.throws(() => later.reusePinned('table', `${folder}/table`), {
    code: 'SUT_DATAPLANE_UNAVAILABLE',
    message: /key 4, value 16 bytes, where table of this version has type 1, key 4, value 32 bytes/,
  });
});
