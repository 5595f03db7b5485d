/** Policies on running connections: each condition by itself, together, and what the switch is told. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { type Clock, systemClock } from '../../src/platform/clock.js';
import { type Bench, bench, opened, PORTS, until } from './support.js';

/** Time that passes as usual, on a day that the test chooses. */
class DayClock implements Clock {
  readonly monotonic = systemClock.monotonic;
  readonly after = systemClock.after;
  readonly sleep = systemClock.sleep;

  constructor(
    private hour: number,
    private minute = 0,
  ) {}

  set(hour: number, minute = 0): void {
    this.hour = hour;
    this.minute = minute;
  }

  wall(): number {
    return new Date(2026, 5, 1, this.hour, this.minute).getTime();
  }
}

async function relayed(b: Bench) {
  const ends = await b.open();
  ends.peer.resume();
  ends.core.resume();
  b.fake.tell('f1', 'relayed');
  return ends;
}

t.test('bytes, age, packets and never', async (t) => {
  const byBytes = await bench({ stitch: { after: { bytes: 1000 } } });
  const byAge = await bench({ stitch: { after: { age: 200 } } }, { ports: { from: 22_100, to: 22_109 } });
  const byPackets = await bench(
    { stitch: { after: { packets: 10 } } },
    { ports: { from: 22_110, to: 22_119 } },
  );
  const never = await bench({ stitch: 'never' }, { ports: { from: 22_120, to: 22_129 } });
  for (const b of [byBytes, byAge, byPackets, never]) t.teardown(() => b.close());

  const { peer, core } = await opened(byBytes);
  core.resume();
  peer.write(Buffer.alloc(999));
  await sleep(150);
  t.equal(byBytes.fake.enabled.length, 0);
  core.write('x');
  await until(() => byBytes.fake.enabled.length === 1, 'both directions together count');
  t.equal(byBytes.fake.lists, 0, 'no need for packet counters');

  await opened(byAge);
  t.equal(byAge.fake.enabled.length, 0);
  await until(() => byAge.fake.enabled.length === 1, 'old enough');

  await opened(byPackets);
  byPackets.fake.setPackets('f1', 9);
  await until(() => byPackets.fake.lists >= 2, 'asked for its counters');
  t.equal(byPackets.fake.enabled.length, 0);
  byPackets.fake.setPackets('f1', 10);
  await until(() => byPackets.fake.enabled.length === 1, 'enough packets');

  const last = await never.open();
  await sleep(100);
  t.same(never.fake.pairs, [], 'never: not even paired');
  t.not(last.core.remotePort, PORTS.from);
});

t.test('the time of day, looked at again while the connection is relayed', async (t) => {
  const clock = new DayClock(21, 59);
  const b = await bench({ stitch: { after: { timeOfDay: { from: 22 * 60, to: 6 * 60 } } } }, { clock });
  t.teardown(() => b.close());
  const { peer } = await relayed(b);
  await sleep(150);
  t.same(b.fake.enabled, []);
  clock.set(22);
  await until(() => b.fake.enabled.length === 1, 'asked');
  t.same(b.fake.enabled[0]?.cause, ['timeOfDay=22:00-06:00']);
  peer.destroy();
});

t.test('conditions together: all must hold at one moment', async (t) => {
  const clock = new DayClock(12);
  const after = { bytes: 1000, age: 100, timeOfDay: { from: 720, to: 780 } };
  const b = await bench({ stitch: { after } }, { clock });
  t.teardown(() => b.close());
  const { peer } = await relayed(b);
  await sleep(200);
  t.same(b.fake.enabled, [], 'age and time alone are not enough');
  clock.set(13);
  peer.write(Buffer.alloc(1000));
  await sleep(200);
  t.same(b.fake.enabled, [], 'nor are age and bytes');
  clock.set(12, 30);
  await until(() => b.fake.enabled.length === 1, 'asked');
  t.same(b.fake.enabled[0]?.cause, ['timeOfDay=12:00-13:00', 'bytes>=1000', 'age>=100ms']);
  peer.destroy();
});

t.test('types: the bytes are looked at on any listener whose policy asks', async (t) => {
  for (const [type, said, expected] of [
    [['http'], 'GET / HTTP/1.1\r\nHost: a.example.org\r\n\r\n', 'type=http'],
    [['tls', '*.example.org'], 'GET / HTTP/1.1\r\nHost: a.example.org\r\n\r\n', 'type=*.example.org'],
    [['tls', 'example.org'], 'GET / HTTP/1.1\r\nHost: a.example.org\r\n\r\n', undefined],
    [['plain'], 'SSH-2.0-x\r\n', 'type=plain'],
    [['http'], 'SSH-2.0-x\r\n', undefined],
  ] as const) {
    const b = await bench({ stitch: { after: { type: [...type] } } });
    const opening = b.open(said);
    const { peer, core } = await opening;
    b.fake.tell('f1', 'relayed');
    await sleep(20);
    core.resume();
    if (expected) await until(() => b.fake.enabled.length === 1, 'asked');
    else await sleep(150);
    t.same(b.fake.enabled[0]?.cause, expected && [expected], `${type} and ${said}`);
    peer.destroy();
    await b.close();
  }
});

t.test('load: asked again and again, and the last to come true is told first', async (t) => {
  const b = await bench({ stitch: { after: { shellLoad: 0.5, bytes: 10 } } });
  t.teardown(() => b.close());
  const { peer } = await relayed(b);
  peer.write(Buffer.alloc(100));
  await sleep(100);
  t.same(b.fake.enabled, []);
  // This process is the shell: what it computes is the shell's load.
  const deadline = systemClock.monotonic() + 15_000;
  while (b.fake.enabled.length === 0 && systemClock.monotonic() < deadline) {
    const pause = systemClock.monotonic() + 50;
    while (systemClock.monotonic() < pause);
    await sleep(0);
  }
  t.same(b.fake.enabled[0]?.cause, ['shellLoad>=0.5', 'bytes>=10']);
  t.ok(b.shell.stats().load >= 0.5, `${b.shell.stats().load}`);
  peer.destroy();
});
