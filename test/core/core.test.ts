import t from 'tap';
import { startCore } from '../../src/core/main.js';
import { systemClock } from '../../src/platform/clock.js';
import type { CoreConfig } from '../../src/platform/config/index.js';
import { silentLog } from '../../src/platform/log.js';
import { FakeSwitch } from '../shell/fake-switch.js';

const CONFIG: CoreConfig = {
  name: 'b1',
  switch: 'discover',
  discovery: { port: 57_627 },
  auth: { mode: 'none' },
  offers: [{ address: '10.201.3.2', port: 8080 }],
  calls: [{ address: '10.201.2.2', port: 1080 }],
  log: { level: 'silent' },
};

t.test('offers its endpoints, and counts and logs what becomes of its flows', async (t) => {
  const fake = new FakeSwitch();
  const lines: unknown[][] = [];
  const log = silentLog();
  log.info = (...args: unknown[]) => void lines.push(args);
  const core = await startCore({
    config: CONFIG,
    log,
    clock: systemClock,
    createClient: (reservation) => {
      fake.reservation = reservation;
      return fake;
    },
  });
  t.same(fake.reservation, { watch: [], offers: CONFIG.offers, calls: CONFIG.calls });
  t.equal(core.ready, true);
  const outer = {
    local: { address: '10.201.2.2', port: 8080 },
    remote: { address: '10.201.1.2', port: 4000 },
  };
  const inner = {
    local: { address: '10.201.2.2', port: 20_000 },
    remote: { address: '10.201.3.2', port: 8080 },
  };
  const flow = await fake.pair(outer, inner);
  fake.tell('f1', 'stitched');
  fake.tellEvent({ kind: 'fin', flow, from: 'core' });
  fake.tellEvent({ kind: 'rst', flow, from: 'peer' });
  t.same(fake.proceeded, [], 'answers nobody waits for are not given');
  fake.tellEvent({ kind: 'rst', flow, from: 'peer', held: true, answerExpected: true });
  t.same(fake.proceeded, ['f1 peer']);
  fake.tell('f1', 'closed', 'reset-by-peer');
  t.same(core.stats(), { fin: 1, rst: 2, stitched: 1, closed: 1, refused: 0, broken: 0 });
  t.match(lines.at(-1), [
    { flow: 'f1', reason: 'reset-by-peer', up: { packets: 0, bytes: 0 }, down: { packets: 0, bytes: 0 } },
    'flow closed',
  ]);
  await core.stop();
  await core.stop();
  t.equal(fake.stopped, 1);
});
