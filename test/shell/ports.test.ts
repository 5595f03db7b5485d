import t from 'tap';
import type { Clock } from '../../src/platform/clock.js';
import { PortPool } from '../../src/shell/ports.js';

function steppedClock(): Clock & { now: number } {
  return {
    now: 0,
    wall: () => 0,
    monotonic() {
      return this.now;
    },
    after: () => () => {},
    sleep: () => Promise.reject(new Error('not used here')),
  };
}

t.test('ports come in order and a freed one comes back last', async (t) => {
  const pool = new PortPool({ from: 100, to: 103 }, steppedClock());
  const first = pool.take();
  const second = pool.take();
  t.equal(first?.port, 100);
  t.equal(second?.port, 101);
  first?.free();
  t.same(
    [pool.take(), pool.take(), pool.take()].map((lease) => lease?.port),
    [102, 103, 100],
  );
  t.equal(pool.take(), undefined, 'exhausted');
  second?.free();
  t.equal(pool.take()?.port, 101);
});

t.test('a resting port comes back when its time is over', async (t) => {
  const clock = steppedClock();
  const pool = new PortPool({ from: 100, to: 101 }, clock, 60_000);
  const resting = pool.take();
  const kept = pool.take();
  resting?.rest();
  t.same(pool.stats, { size: 2, free: 0, held: 1, resting: 1 });
  clock.now = 59_999;
  t.equal(pool.take(), undefined);
  clock.now = 60_000;
  t.equal(pool.take()?.port, 100);
  kept?.free();
  t.same(pool.stats, { size: 2, free: 1, held: 1, resting: 0 });
});

t.test('a lease ends once', async (t) => {
  const pool = new PortPool({ from: 100, to: 101 }, steppedClock());
  const lease = pool.take();
  lease?.free();
  lease?.free();
  lease?.rest();
  t.same(pool.stats, { size: 2, free: 2, held: 0, resting: 0 });
});

t.test('no port is ever handed out twice at a time', async (t) => {
  const clock = steppedClock();
  const size = 50;
  const pool = new PortPool({ from: 1000, to: 1000 + size - 1 }, clock, 100);
  const held = new Map<number, { free(): void; rest(): void }>();
  let random = 12345;
  const next = (): number => {
    random = (Math.imul(random, 1103515245) + 12345) >>> 0;
    return random / 2 ** 32;
  };
  for (let step = 0; step < 20_000; step++) {
    clock.now += 1;
    const roll = next();
    const [port, lease] = [...held][Math.floor(next() * held.size)] ?? [];
    if (roll < 0.5) {
      const taken = pool.take();
      if (taken) {
        if (held.has(taken.port)) t.fail(`port ${taken.port} was held already`);
        held.set(taken.port, taken);
      }
    } else if (port !== undefined && lease) {
      if (roll < 0.9) lease.free();
      else lease.rest();
      held.delete(port);
    }
    const { free, held: count, resting } = pool.stats;
    if (count !== held.size || free + count + resting !== size) t.fail(`miscounted at step ${step}`);
  }
  for (const lease of held.values()) lease.free();
  clock.now += 100;
  t.equal(pool.stats.free, size);
});

t.test('claimed ports: only those that are free, each once, and the others keep their order', async (t) => {
  const pool = new PortPool({ from: 100, to: 105 }, steppedClock());
  const first = pool.take();
  t.same(
    pool.claim(new Set([100, 102, 104, 200])).map(({ port }) => port),
    [102, 104],
  );
  t.match(pool.stats, { free: 3, held: 3 });
  t.same([pool.take()?.port, pool.take()?.port, pool.take()?.port], [101, 103, 105]);
  first?.free();
  t.equal(pool.take()?.port, 100);
});
