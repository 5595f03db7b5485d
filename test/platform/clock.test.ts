import { getEventListeners } from 'node:events';
import t from 'tap';
import { systemClock } from '../../src/platform/clock.js';

t.test('a sleep that is longer than a timer can hold is not a short one', async (t) => {
  for (const ms of [2 ** 31, 30 * 24 * 3_600_000, Number.POSITIVE_INFINITY]) {
    const stop = new AbortController();
    const long = systemClock.sleep(ms, stop.signal).then(() => 'over');
    t.equal(await Promise.race([long, systemClock.sleep(20).then(() => 'asleep')]), 'asleep', String(ms));
    stop.abort(new Error('enough'));
    await t.rejects(long, { message: 'enough' }, 'and it can be ended');
    t.strictSame(getEventListeners(stop.signal, 'abort'), []);
  }
});

t.test('a sleep that is over has let go of its signal', async (t) => {
  const { signal } = new AbortController();
  await systemClock.sleep(1, signal);
  t.strictSame(getEventListeners(signal, 'abort'), []);
  await t.rejects(systemClock.sleep(1, AbortSignal.abort(new Error('before'))), { message: 'before' });
});

t.test('what was called off is not done', async (t) => {
  const done: string[] = [];
  const cancel = systemClock.after(1, () => done.push('called off'));
  cancel();
  systemClock.after(2 ** 31, () => done.push('long'))();
  await new Promise<void>((resolve) => systemClock.after(5, resolve));
  t.strictSame(done, []);
});
