/** What is left behind by those who wait: nothing. A source or a thing may outlive millions of them. */
import { getEventListeners } from 'node:events';
import t from 'tap';
import { firstAbort } from '../../src/platform/first-abort.js';
import { Waiters } from '../../src/platform/waiters.js';

t.test('the first of several signals', async (t) => {
  const sources = [new AbortController(), new AbortController()] as const;
  const signals = sources.map(({ signal }) => signal);
  const listeners = () => signals.flatMap((signal) => getEventListeners(signal, 'abort')).length;
  const first = firstAbort(...signals);
  t.notOk(first.signal.aborted);
  sources[1].abort(new Error('the second'));
  sources[0].abort(new Error('the first, later'));
  t.match(first.signal.reason, { message: 'the second' });
  first.done();
  t.equal(listeners(), 0);

  const after = firstAbort(...signals);
  t.match(after.signal.reason, { message: 'the first, later' }, 'one that has aborted before');
  after.done();

  const lasting = new AbortController();
  for (let i = 0; i < 100; i++) firstAbort(lasting.signal, new AbortController().signal).done();
  t.strictSame(getEventListeners(lasting.signal, 'abort'), [], 'a lasting one is let go of');
  const unheard = firstAbort(lasting.signal);
  unheard.done();
  lasting.abort();
  t.notOk(unheard.signal.aborted);
});

t.test('who waits is woken, or gives up and is forgotten', async (t) => {
  const waiters = new Waiters();
  const patient = new AbortController();
  const woken = [waiters.next(patient.signal), waiters.next(patient.signal)];
  for (let i = 0; i < 100; i++) {
    const gaveUp = new AbortController();
    const waiting = waiters.next(gaveUp.signal);
    gaveUp.abort(new Error('gave up'));
    await t.rejects(waiting, { message: 'gave up' });
  }
  t.equal(waiters.size, 2);
  waiters.wake();
  await Promise.all(woken);
  t.equal(waiters.size, 0);
  t.strictSame(getEventListeners(patient.signal, 'abort'), []);
  await t.rejects(waiters.next(AbortSignal.abort(new Error('before'))), { message: 'before' });
  t.equal(waiters.size, 0);
});
