/**
 * A switch in the core's host, and agents that are told where their switch is: no discovery, otherwise the same. The
 * workload stands behind an interface of that host, as in a container; one on the host's own addresses is relayed.
 */
import t from 'tap';
import { legOf } from '../../src/lab/layout.js';
import { addressOf, endpointOf, HTTP_PORT, route } from '../../src/lab/stage.js';
import { checkClosed, checkTransfer } from '../support/lab/checks.js';
import type { ConnectResult, TransferResult } from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';

const BYTES = 20_000_000;
const CONTROL_PORT = 57_626;
const OWN_PORT = 9100;
/** The switch's own address on the core's leg. */
const OWN = legOf('b').switchAddress4;
const NOT_AVAILABLE = 3;

t.test('switch and core in one host', async (t) => {
  const rig = await Rig.up(t);
  // With a second way out there is no discovery from A.
  await rig.addWay('a');

  const routes = [
    route(HTTP_PORT, HTTP_PORT),
    route(HTTP_PORT, HTTP_PORT, 'now', 6),
    { listen: endpointOf('a', OWN_PORT), core: `${OWN}:${OWN_PORT}` },
  ];
  const workload = rig.stage.startWorkload();
  const server = rig.startClient(
    'web-server',
    { host: OWN, ports: [OWN_PORT], names: ['own'] },
    { host: 's' },
  );
  const agents = [
    { name: 'a1', role: 'shell', addresses: [addressOf('a', 4), addressOf('a', 6)] },
    { name: 'b1', role: 'core', addresses: [addressOf('b', 4), addressOf('b', 6), OWN] },
  ];
  await rig.stage.startSwitch({ dataplane: 'userspace', agents });
  const offers = routes.map(({ core }) => core);
  await Promise.all([
    rig.stage.startCore(offers, { switch: `localhost:${CONTROL_PORT}` }, 's'),
    rig.stage.startShell(routes, { switch: `${legOf('a').switchAddress4}:${CONTROL_PORT}` }),
    workload,
    server.report(0),
  ]);

  await t.test('discovery would not have found it', async (t) => {
    t.equal((await rig.suture('a', ['discover'])).code, NOT_AVAILABLE);
    const agentsSeen = await rig.stage.admin.agents();
    t.match(
      agentsSeen.map(({ name, from }) => [name, from?.replace(/:\d+$/, '')]),
      [
        ['a1', addressOf('a', 4)],
        ['b1', /^(127\.0\.0\.1|\[?::1\]?)$/],
      ],
    );
  });

  for (const family of [4, 6] as const) {
    await t.test(`IPv${family}: a workload behind an interface is stitched`, async (t) => {
      const args = { host: addressOf('a', family), port: HTTP_PORT, mode: 'both', bytes: BYTES, seed: 1 };
      const [result] = await rig.client<TransferResult>('transfer', args);
      checkTransfer(t, result, BYTES);
      await checkClosed(t, rig, result as TransferResult);
    });
  }

  await t.test('one on the switch’s own address is relayed', async (t) => {
    const send = 'GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
    const go = rig.go();
    const args = { host: addressOf('a', 4), port: OWN_PORT, send, timeoutMs: 30_000, go: go.path };
    const client = rig.startClient('connect', args);
    const { local = '' } = await client.report<ConnectResult>(0);
    const ends = { local, remote: endpointOf('a', OWN_PORT) };
    await rig.flowOf(ends, ({ state }) => state === 'watched');
    // Long enough for the shell to have asked for the stitch all the same.
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    t.equal((await rig.flowOf(ends)).state, 'watched', 'its half of the handshake crosses no interface');
    go.say();
    await client.finished();
    t.match((await client.report<ConnectResult>(1)).data, /\r\n\r\n(3\r\n)?own/);
    const flow = await rig.closed(ends);
    t.equal(flow.stitchedAt, undefined);
  });
});
