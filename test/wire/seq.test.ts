import t from 'tap';
import { TcpFlag, TcpSegment } from '../../src/wire/segment.js';
import { seqAdd, seqAfter, seqDiff, seqMax, seqMin, seqNum } from '../../src/wire/seq.js';

t.test('sequence numbers go round', async (t) => {
  t.equal(seqNum(-1), 0xffffffff);
  t.equal(seqNum(2 ** 32 + 5), 5);
  t.equal(seqAdd(seqNum(0xfffffffe), 4), 2);
  t.equal(seqAdd(seqNum(2), -4), 0xfffffffe);
});

t.test('order across the wrap', async (t) => {
  const before = seqNum(0xfffffff0);
  const after = seqNum(0x10);
  t.equal(seqDiff(after, before), 0x20);
  t.equal(seqDiff(before, after), -0x20);
  t.equal(seqAfter(after, before), true);
  t.equal(seqAfter(before, after), false);
  t.equal(seqAfter(after, after), false);
  t.equal(seqMax(before, after), after);
  t.equal(seqMin(before, after), before);
  t.equal(seqMax(after, before), after);
  t.equal(seqMin(after, before), before);
});

t.test('half way round is before', async (t) => {
  t.equal(seqDiff(seqNum(0x80000000), seqNum(0)), -0x80000000);
  t.equal(seqDiff(seqNum(0x7fffffff), seqNum(0)), 0x7fffffff);
});

t.test('the end of a segment counts SYN and FIN', async (t) => {
  const segment = new TcpSegment();
  segment.seq = seqNum(0xffffffff);
  segment.payloadLength = 10;
  t.equal(segment.end, 9);
  segment.flags = TcpFlag.Syn | TcpFlag.Fin;
  t.equal(segment.sequenceLength, 12);
  t.equal(segment.end, 11);
});

t.test('a copied segment shares nothing', async (t) => {
  const segment = new TcpSegment();
  segment.sackLeft[3] = 7;
  segment.window = 9;
  const copy = new TcpSegment().copyFrom(segment);
  t.strictSame({ ...copy }, { ...segment });
  segment.sackLeft[3] = 8;
  t.equal(copy.sackLeft[3], 7);
  t.strictSame({ ...segment.clear() }, { ...new TcpSegment() });
});
