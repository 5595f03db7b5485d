import t, { type Test } from 'tap';
import { type BpfObject, BpfProgram } from '../../../src/dataplane/kernel/libbpf.js';
import { FRAME, loaded, pinFolder } from './support.js';

/** What every refusal of the kernel has. */
const code = 'SUT_DATAPLANE_FAILED';

async function judgeOf(t: Test, prepare?: (object: BpfObject) => void): Promise<BpfProgram> {
  const judge = (await loaded(t, prepare)).program('judge');
  t.teardown(() => judge.close());
  return judge;
}

/** struct __sk_buff, linux/bpf.h: its size, and where the mark is. */
const SKB_BYTES = 192;
const SKB_MARK = 8;

t.test('a run on a packet', async (t) => {
  const judge = await judgeOf(t);
  const data = Buffer.from(FRAME);
  const dataOut = Buffer.alloc(128, 0xee);
  const ctx = Buffer.alloc(SKB_BYTES);
  ctx.writeUInt32LE(41, SKB_MARK);
  const ctxOut = Buffer.alloc(SKB_BYTES);
  const result = judge.testRun({ data, dataOut, ctx, ctxOut });
  t.match(result, { retval: 0, dataOutLength: FRAME.length, ctxOutLength: SKB_BYTES });
  t.equal(dataOut[0], (FRAME[0] ?? 0) + 1);
  t.same(dataOut.subarray(1, FRAME.length), FRAME.subarray(1));
  t.equal(dataOut[FRAME.length], 0xee, 'nothing is written behind it');
  t.equal(ctxOut.readUInt32LE(SKB_MARK), 42);
  t.same(data, FRAME, 'the input is left as it is');
});

t.test('many runs, and answers below 0', async (t) => {
  const judge = await judgeOf(t);
  const dataOut = Buffer.alloc(FRAME.length);
  judge.testRun({ data: FRAME, dataOut, repeat: 10 });
  t.equal(dataOut[0], (FRAME[0] ?? 0) + 10);
  const pass = (await loaded(t)).program('pass');
  t.teardown(() => pass.close());
  t.equal(pass.testRun({ data: FRAME }).retval, -1);
});

t.test('what can not be run', async (t) => {
  const judge = await judgeOf(t);
  t.throws(() => judge.testRun({ data: FRAME, dataOut: Buffer.alloc(10) }), {
    code,
    errno: 'ENOSPC',
    operation: 'test run',
    subject: 'program judge',
  });
  t.throws(() => judge.testRun({ data: Buffer.alloc(4) }), { code, errno: 'EINVAL' });
});

t.test('the tag tells versions apart, and constants do not change it', async (t) => {
  const one = await judgeOf(t);
  const other = await judgeOf(t, (object) => object.setConstant('offset', 5));
  const pass = (await loaded(t)).program('pass');
  t.teardown(() => pass.close());
  t.match(one.tag, /^[0-9a-f]{16}$/);
  t.equal(one.tag, other.tag);
  t.not(one.id, other.id);
  t.not(one.tag, pass.tag);
  t.match(one.info, { id: one.id, tag: one.tag, name: 'judge', type: 3 });
});

t.test('pins', async (t) => {
  const folder = await pinFolder(t);
  const object = await loaded(t);
  const judge = object.program('judge');
  t.equal(BpfProgram.fromPin(`${folder}/judge`), undefined);
  judge.pin(`${folder}/judge`);
  judge.close();
  judge.close();
  object.close();
  const again = BpfProgram.fromPin(`${folder}/judge`);
  t.match(again, { id: judge.id, tag: judge.tag });
  t.equal(again?.testRun({ data: FRAME }).retval, 0);
  again?.close();

  const table = (await loaded(t)).map('table');
  table.pin(`${folder}/table`);
  table.close();
  t.throws(() => BpfProgram.fromPin(`${folder}/table`), {
    message: /table: what is pinned there is no program/,
  });
});
