import t from 'tap';
import { silentLog } from '../../src/platform/log.js';
import { LimitedLog } from '../../src/shell/limited-log.js';
import { eventLoopBusy, LoadMeter } from '../../src/shell/load.js';

const clock = {
  now: 0,
  wall: () => 0,
  monotonic: () => clock.now,
  after: () => () => {},
  sleep: async () => {},
};

t.test('share of a processor over whole windows', async (t) => {
  const used = { user: 1_000_000, system: 0 };
  clock.now = 0;
  const meter = new LoadMeter(clock, () => ({ ...used }));
  t.equal(meter.value, 0);
  used.user += 200_000;
  used.system += 50_000;
  clock.now = 999;
  t.equal(meter.sample(), 0, 'the window is not over');
  clock.now = 1000;
  t.equal(meter.sample(), 0.25);
  clock.now = 1500;
  t.equal(meter.sample(), 0.25, 'kept until the next window is over');
  used.user += 4_000_000;
  clock.now = 2000;
  t.equal(meter.sample(), 1, 'several threads count as one whole processor');
  clock.now = 4000;
  t.equal(meter.sample(), 0);
});

t.test('a busy event loop counts where it is more', async (t) => {
  const used = { user: 0, system: 0 };
  const spans = [0.75, 0.1, 2];
  clock.now = 0;
  const meter = new LoadMeter(
    clock,
    () => ({ ...used }),
    () => spans.shift() ?? 0,
  );
  clock.now = 1000;
  t.equal(meter.sample(), 0.75);
  used.user += 500_000;
  clock.now = 2000;
  t.equal(meter.sample(), 0.5);
  clock.now = 3000;
  t.equal(meter.sample(), 1, 'never more than 1');
});

t.test('how busy this event loop is', async (t) => {
  const busy = eventLoopBusy();
  await new Promise((resolve) => setTimeout(resolve, 200));
  const idle = busy();
  const end = performance.now() + 200;
  while (performance.now() < end) Math.sqrt(2);
  await new Promise(setImmediate);
  const working = busy();
  t.ok(idle >= 0 && working <= 1 && working > idle, `${idle} < ${working}`);
});

t.test('the same warning once an interval, with a count of the rest', async (t) => {
  const lines: unknown[] = [];
  const log = silentLog();
  log.warn = (...args: unknown[]) => void lines.push(args);
  clock.now = 0;
  const limited = new LimitedLog(log, clock);
  limited.warn('core', { n: 1 }, 'text');
  limited.warn('core', { n: 2 }, 'text');
  limited.warn('core', { n: 3 }, 'text');
  limited.warn('ports', { n: 4 }, 'other');
  clock.now = 5000;
  limited.warn('core', { n: 5 }, 'text');
  t.same(lines, [
    [{ n: 1 }, 'text'],
    [{ n: 4 }, 'other'],
    [{ n: 5, suppressed: 2 }, 'text'],
  ]);
});
