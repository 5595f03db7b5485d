/** What agents tell of their links, and how a switch asks for moves. */
import t from 'tap';
import { ControlClient } from '../../src/midcom/client.js';
import { systemClock } from '../../src/platform/clock.js';
import { silentLog } from '../../src/platform/log.js';
import type { Endpoint } from '../../src/wire/endpoint.js';
import { until } from '../shell/support.js';
import { Rig } from './support/rig.js';

const ENDPOINT = { address: '10.201.3.2', port: 57_628 };
const PEER = { address: '10.201.1.2', port: 4000 };

t.test('links are reported, and moves are asked for', async (t) => {
  const rig = await Rig.started();
  const shell = new ControlClient({
    name: 'a1',
    role: 'shell',
    switch: rig.control,
    reservation: { watch: [], offers: [] },
    clock: systemClock,
    log: silentLog(),
  });
  t.teardown(async () => {
    await shell.stop();
    await rig.stop();
  });
  const asked: (Endpoint | undefined)[] = [];
  shell.onMove((peer) => asked.push(peer));
  const told = () => rig.server.agents().find(({ name }) => name === 'a1')?.links;
  t.throws(() => rig.server.move('a1', undefined), { code: 'SUT_SESSION_STATE' }, 'not connected');

  shell.report([{ endpoint: ENDPOINT, connections: 0, streams: 0 }]);
  await shell.start();
  await shell.whenReady();
  await until(() => told()?.length === 1, 'what was so before the session is told in it');
  for (let streams = 1; streams <= 100; streams++)
    shell.report([{ endpoint: ENDPOINT, connections: 1, streams }]);
  await until(() => told()?.[0]?.streams === 100, 'the latest is told');
  t.strictSame(told(), [{ endpoint: ENDPOINT, connections: 1, streams: 100 }]);
  t.ok((rig.server.counters().requests ?? 0) < 10, 'a hundred changes are few reports');

  rig.server.move('a1', undefined);
  rig.server.move('a1', PEER);
  await until(() => asked.length === 2, 'asked twice');
  t.strictSame(asked, [undefined, PEER]);
  t.throws(() => rig.server.move('b1', undefined), { code: 'SUT_REQUEST_INVALID' }, 'a core');
  t.throws(() => rig.server.move('nobody', undefined), { code: 'SUT_REQUEST_INVALID' });

  await shell.stop();
  await until(() => told()?.length === 0, 'a report ends with its session');
});

t.test('a report that makes no sense', async (t) => {
  const rig = await Rig.started();
  t.teardown(() => rig.stop());
  const agent = rig.agent();
  await agent.open('a1', 'shell');
  const link = { endpoint: ENDPOINT, connections: 1, streams: 1 };
  for (const links of [
    [{ ...link, endpoint: undefined }],
    [{ ...link, endpoint: { address: 'nowhere', port: 1 } }],
    new Array(257).fill(link),
  ]) {
    t.equal(await agent.ask({ $case: 'report', value: { links } }), 'SUT_REQUEST_INVALID');
  }
  t.strictSame(rig.server.agents()[0]?.links, []);
});
