import fc from 'fast-check';
import t from 'tap';
import { Backlog } from '../../../src/table/redis/backlog.js';

const failure = new Error('not written');

t.test('a flow that changes often is taken once, and one that is gone is not written', async (t) => {
  const backlog = new Backlog(10);
  t.equal(backlog.take(5), undefined);
  for (const id of ['1', '2', '1', '3', '1']) backlog.change(id);
  backlog.forget('2');
  t.equal(backlog.size, 3);
  const batch = backlog.take(5);
  t.match(batch, { changed: ['1', '3'], gone: ['2'], isRewrite: false });
  t.equal(backlog.size, 3, 'what is being written is not written yet');
  if (batch) backlog.done(batch);
  t.equal(backlog.size, 0);
  t.equal(backlog.take(5), undefined);
});

t.test('what was not written comes back, unless something newer happened to it', async (t) => {
  const backlog = new Backlog(10);
  for (const id of ['kept', 'ended']) backlog.change(id);
  for (const id of ['gone', 'again']) backlog.forget(id);
  const batch = backlog.take(5);
  backlog.forget('ended');
  backlog.change('again');
  if (batch) backlog.giveBack(batch, failure);
  const next = backlog.take(5);
  t.strictSame([...(next?.changed ?? [])].sort(), ['again', 'kept']);
  t.strictSame([...(next?.gone ?? [])].sort(), ['ended', 'gone']);
});

t.test('who waits comes first, and hears how it went', async (t) => {
  const backlog = new Backlog(1_000);
  for (let i = 0; i < 100; i++) backlog.change(`${i}`);
  const first = backlog.written('99');
  const batch = backlog.take(10);
  t.equal(batch?.changed[0], '99');
  const second = backlog.written('5');
  if (batch) backlog.giveBack(batch, failure);
  await t.rejects(first, failure);
  await t.rejects(second, failure, 'who came meanwhile is not kept waiting for the next try');
  const third = backlog.written('7');
  const again = backlog.take(10);
  if (again) backlog.done(again);
  await third;
  const fourth = backlog.written('8');
  backlog.failWaiters(failure);
  await t.rejects(fourth, failure);
  t.equal(backlog.take(1_000)?.changed.includes('8'), true, 'the change itself is still there');
});

t.test('a rewrite waits behind what is new', async (t) => {
  const backlog = new Backlog(10);
  backlog.rewrite(['1', '2', '3']);
  backlog.change('2');
  t.match(backlog.take(2), { changed: ['2'], isRewrite: false });
  const part = backlog.take(2);
  t.match(part, { changed: ['1', '2'], isRewrite: true });
  if (part) backlog.giveBack(part, failure);
  const same = backlog.take(2);
  t.match(same, { changed: ['1', '2'], isRewrite: true }, 'a part that failed is written again');
  if (same) backlog.done(same);
  t.equal(backlog.isRewriting, true);
  const last = backlog.take(2);
  t.match(last, { changed: ['3'] });
  if (last) backlog.done(last);
  t.equal(backlog.isRewriting, false);
  t.equal(backlog.size, 0);
});

t.test('whatever happens, it is bounded, and nothing is forgotten without saying so', async (t) => {
  const LIMIT = 6;
  const id = fc.nat({ max: 9 }).map(String);
  const step = fc.oneof(
    fc.record({ kind: fc.constant('change' as const), id }),
    fc.record({ kind: fc.constant('forget' as const), id }),
    fc.record({ kind: fc.constantFrom('write' as const, 'fail' as const), id: fc.constant('') }),
  );
  const holds = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const backlog = new Backlog(LIMIT);
    const table = new Set<string>();
    const redis = new Set<string>();
    for (const { kind, id } of steps) {
      if (kind === 'change') {
        table.add(id);
        backlog.change(id);
      } else if (kind === 'forget') {
        table.delete(id);
        backlog.forget(id);
      } else {
        const batch = backlog.take(3);
        if (!batch) continue;
        if (kind === 'fail') {
          backlog.giveBack(batch, failure);
          continue;
        }
        for (const one of batch.gone) redis.delete(one);
        for (const one of batch.changed) if (table.has(one)) redis.add(one);
        backlog.done(batch);
      }
      if (backlog.size > LIMIT) return false;
    }
    if (backlog.overflowed) return backlog.dropped > 0;
    for (let batch = backlog.take(3); batch; batch = backlog.take(3)) {
      for (const one of batch.gone) redis.delete(one);
      for (const one of batch.changed) redis.add(one);
      backlog.done(batch);
    }
    return [...table].every((one) => redis.has(one)) && redis.size === table.size;
  });
  fc.assert(holds, { interruptAfterTimeLimit: 2_000, markInterruptAsFailure: false });
  t.pass('for all that were tried');
});
