/** A relayed connection whose peer is gone without a word, and discovery on another port than the usual one. */
import t from 'tap';
import { addressOf, endpointOf, HTTP_PORT, RAW_PORT, route } from '../../src/lab/stage.js';
import type { ConnectResult } from '../support/lab/results.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';

const DISCOVERY_PORT = 47_627;
const KEEPALIVE_SECONDS = 2;
/** libuv's ten probes, a second apart, and time for a busy machine. */
const GONE_MS = (KEEPALIVE_SECONDS + 10 + 20) * 1000;

t.test('a peer that is gone, and another discovery port', async (t) => {
  const rig = await Rig.up(t);
  // The second one is there for something to reserve.
  const routes = [route(RAW_PORT, RAW_PORT, 'never'), route(HTTP_PORT, HTTP_PORT)];
  const discovery = { port: DISCOVERY_PORT };
  const starting = rig.stage.startWorkload();
  await rig.stage.startSwitch({ dataplane: TEST_DATAPLANE, discovery });
  const [workload] = await Promise.all([
    starting,
    rig.stage.startCore([endpointOf('b', RAW_PORT)], { discovery }),
    rig.stage.startShell(routes, { discovery, timers: { keepalive: KEEPALIVE_SECONDS } }),
  ]);

  await t.test('agents found the switch where it is, and nobody else did', async (t) => {
    const connected = (await rig.stage.admin.agents()).filter((agent) => agent.connected);
    t.same(
      connected.map(({ name }) => name),
      ['a1', 'b1'],
    );
    t.equal((await rig.suture('a', ['discover', '--port', String(DISCOVERY_PORT)])).code, 0);
    t.equal((await rig.suture('a', ['discover'])).code, 3);
  });

  await t.test('the core is told by a reset', async (t) => {
    const args = { host: addressOf('a', 4), port: RAW_PORT, timeoutMs: 120_000, go: rig.go().path };
    const client = rig.startClient('connect', args);
    await client.report<ConnectResult>(0);
    const established = ['ss', '-Htn', 'state', 'established', `sport = :${RAW_PORT}`];
    await rig.stage.until(
      async () => (await rig.tool('b', established)) !== '',
      10_000,
      () => 'the core was not reached',
    );
    await rig.tool('s', ['ip', 'link', 'set', 'to-e', 'down']);
    await workload.line(/^reset /, GONE_MS);
    await client.stop();
    t.pass('it logged a reset');
  });
});
