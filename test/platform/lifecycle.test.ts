import { EventEmitter } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { type Clock, systemClock } from '../../src/platform/clock.js';
import { SutureError } from '../../src/platform/errors.js';
import { Lifecycle, type Running, runUntilSignal, type Startable } from '../../src/platform/lifecycle.js';
import { silentLog } from '../../src/platform/log.js';

interface Fault {
  readonly start?: Error;
  readonly stop?: Error;
}

/** Parts that write down what happens to them. */
function parts(journal: string[], faults: Readonly<Record<string, Fault>> = {}): Startable[] {
  return ['a', 'b', 'c'].map((name) => ({
    start: async () => {
      journal.push(`+${name}`);
      if (faults[name]?.start) throw faults[name].start;
    },
    stop: async (signal) => {
      journal.push(`-${name}${signal?.aborted ? '!' : ''}`);
      if (faults[name]?.stop) throw faults[name].stop;
    },
  }));
}

t.test('parts start in order and stop in reverse, once', async (t) => {
  const journal: string[] = [];
  const lifecycle = new Lifecycle(parts(journal));
  await lifecycle.start();
  await lifecycle.stop();
  await lifecycle.stop();
  t.strictSame(journal, ['+a', '+b', '+c', '-c', '-b', '-a']);
});

t.test('a failed start stops what had started, and tells its own reason', async (t) => {
  const journal: string[] = [];
  const faults = { b: { start: new Error('no b') }, a: { stop: new Error('no end') } };
  await t.rejects(new Lifecycle(parts(journal, faults)).start(), { message: 'no b' });
  t.strictSame(journal, ['+a', '+b', '-a']);
});

t.test('parts in a list of their own start at the same time', async (t) => {
  const journal: string[] = [];
  const [a, b, c] = parts(journal) as [Startable, Startable, Startable];
  let begin = (): void => {};
  const slow: Startable = {
    ...a,
    start: () =>
      new Promise((resolve) => {
        begin = () => resolve(a.start());
      }),
  };
  const lifecycle = new Lifecycle([[slow, b], c]);
  const started = lifecycle.start();
  await turn();
  t.strictSame(journal, ['+b'], 'what follows waits for both');
  begin();
  await started;
  await lifecycle.stop();
  t.strictSame(journal, ['+b', '+a', '+c', '-c', '-b', '-a']);

  const failing: string[] = [];
  const [first, second, third] = parts(failing, { a: { start: new Error('no a') } }) as Startable[];
  const group = [first, second] as Startable[];
  await t.rejects(new Lifecycle([group, third as Startable]).start(), { message: 'no a' });
  t.strictSame(failing, ['+a', '+b', '-b'], 'one that has started is stopped');
});

t.test('a part that does not stop keeps no other from stopping', async (t) => {
  const journal: string[] = [];
  const one = new Lifecycle(parts(journal, { b: { stop: new Error('b stays') } }));
  await one.start();
  await t.rejects(one.stop(), { message: 'b stays' });
  t.strictSame(journal.slice(3), ['-c', '-b', '-a']);
  const two = new Lifecycle(parts([], { a: { stop: new Error('a') }, c: { stop: new Error('c') } }));
  await two.start();
  await t.rejects(two.stop(), { errors: [{ message: 'c' }, { message: 'a' }] });
});

t.test('a second stop, or an aborted signal, hurries', async (t) => {
  const journal: string[] = [];
  const hurried = new Lifecycle(parts(journal));
  await hurried.start();
  await hurried.stop(AbortSignal.abort());
  t.strictSame(journal.slice(3), ['-c!', '-b!', '-a!']);

  let stops = 0;
  const waiting: Startable = {
    start: async () => {},
    stop: (signal) =>
      new Promise((resolve) => {
        stops += 1;
        signal?.addEventListener('abort', () => resolve());
      }),
  };
  const slow = new Lifecycle([waiting]);
  await slow.start();
  const first = slow.stop();
  await Promise.all([first, slow.stop()]);
  t.equal(stops, 1);
});

t.test('a stop during the start ends it', async (t) => {
  const journal: string[] = [];
  const lifecycle: Lifecycle = new Lifecycle([
    ...parts(journal).slice(0, 1),
    { start: () => lifecycle.stop(), stop: async () => {} },
    ...parts(journal).slice(2),
  ]);
  await t.rejects(lifecycle.start(), { code: 'SUT_SHUTTING_DOWN' });
  t.strictSame(journal, ['+a', '-a']);
});

t.test('a part that still starts hears that nobody wants it, others do not', async (t) => {
  const journal: string[] = [];
  const [a, b, c] = parts(journal) as [Startable, Startable, Startable];
  const given = (part: Startable, name: string): Startable => ({
    ...part,
    giveUp: () => void journal.push(`~${name}`),
  });
  let fail = (): void => {};
  const waiting: Startable = {
    start: () => new Promise((_, reject) => (fail = () => reject(new Error('given up')))),
    stop: b.stop,
    giveUp: () => fail(),
  };
  const lifecycle = new Lifecycle([given(a, 'a'), waiting, given(c, 'c')]);
  const started = lifecycle.start();
  await turn();
  await lifecycle.stop();
  await t.rejects(started, { code: 'SUT_SHUTTING_DOWN' });
  t.strictSame(journal, ['+a', '-a']);
});

t.test('a part that has started when all was stopped is stopped too', async (t) => {
  const journal: string[] = [];
  let goOn = (): void => {};
  const slow: Startable = {
    start: () => new Promise((resolve) => (goOn = resolve)),
    stop: async () => void journal.push('-slow'),
  };
  const lifecycle = new Lifecycle([...parts(journal).slice(0, 1), slow]);
  const starting = lifecycle.start();
  await turn();
  await lifecycle.stop();
  goOn();
  await t.rejects(starting, { code: 'SUT_SHUTTING_DOWN' });
  t.strictSame(journal, ['+a', '-a', '-slow']);
  const never = new Lifecycle(parts(journal));
  await never.stop();
  await t.rejects(never.start(), { code: 'SUT_SHUTTING_DOWN' });
});

/** Runs a role against made-up signals; `sleeps` collects how long the clock was asked to wait. */
function world(start: () => Promise<Running>, clock: Clock = systemClock) {
  const signals = new EventEmitter();
  const ended = runUntilSignal(start, { log: silentLog(), clock, signals });
  return { signals, ended };
}

t.test('the first signal drains', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
    let given: AbortSignal | undefined;
    const { signals, ended } = world(async () => ({
      stop: async (signal) => {
        given = signal;
      },
    }));
    await turn();
    signals.emit(signal, signal);
    await ended;
    t.equal(given?.aborted, false);
    t.equal(signals.listenerCount(signal), 0);
  }
});

t.test('a second signal stops at once', async (t) => {
  const { signals, ended } = world(async () => ({
    stop: (signal) => new Promise((resolve) => signal?.addEventListener('abort', () => resolve())),
  }));
  await turn();
  signals.emit('SIGTERM', 'SIGTERM');
  await turn();
  signals.emit('SIGINT', 'SIGINT');
  await t.rejects(ended, { code: 'SUT_SHUTTING_DOWN', message: /second signal/ });
});

t.test('an aborted stop that hangs is given up', async (t) => {
  const sleeps: number[] = [];
  const clock = { ...systemClock, sleep: async (ms: number) => void sleeps.push(ms) };
  const { signals, ended } = world(async () => ({ stop: () => new Promise(() => {}) }), clock);
  await turn();
  signals.emit('SIGTERM', 'SIGTERM');
  signals.emit('SIGTERM', 'SIGTERM');
  await t.rejects(ended, { code: 'SUT_SHUTTING_DOWN' });
  t.strictSame(sleeps, [2_000]);
});

t.test('signals while it starts: one waits for the start, two do not', async (t) => {
  let release: (running: Running) => void = () => {};
  let stopped = false;
  const one = world(() => new Promise((resolve) => (release = resolve)));
  one.signals.emit('SIGTERM', 'SIGTERM');
  release({
    stop: async () => {
      stopped = true;
    },
  });
  await one.ended;
  t.ok(stopped);

  const two = world(() => new Promise(() => {}));
  two.signals.emit('SIGTERM', 'SIGTERM');
  two.signals.emit('SIGTERM', 'SIGTERM');
  await t.rejects(two.ended, { code: 'SUT_SHUTTING_DOWN', message: /before the start was over/ });
});

t.test('failures of start, run and stop come through', async (t) => {
  const cause = new SutureError('SUT_CAPTURE_FAILED', 'gone');
  await t.rejects(world(() => Promise.reject(cause)).ended, cause);

  let stopped = false;
  const failing = world(async () => ({
    stop: async () => {
      stopped = true;
    },
    failed: Promise.resolve(cause),
  }));
  await t.rejects(failing.ended, cause);
  t.ok(stopped, 'a role that failed is stopped all the same');

  const stuck = world(async () => ({ stop: () => Promise.reject(cause) }));
  stuck.signals.emit('SIGTERM', 'SIGTERM');
  await t.rejects(stuck.ended, cause);
});
