/**
 * A switch dies with all that it had, in the kernel too, and its flows are in Redis: the next one goes on with them,
 * and the connections know nothing of it but a pause. About 15 s.
 */
import { statSync } from 'node:fs';
import t from 'tap';
import { removePinsOf } from '../../src/dataplane/kernel/program.js';
import { LOCAL_TABLE, startRedis } from '../../src/lab/redis.js';
import { addressOf, HTTP_PORT } from '../../src/lab/stage.js';
import { checkTransfer } from '../support/lab/checks.js';
import type { KeepAliveResult, TransferResult } from '../support/lab/results.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';

const CONNECTIONS = 20;
const REQUESTS = 100;
/** Of each transfer; they go on, one after the other, until the test has seen what it wants to see. */
const BYTES = TEST_DATAPLANE === 'kernel' ? 100_000_000 : 20_000_000;

t.test('a switch is killed, and another goes on with the flows in Redis', async (t) => {
  const rig = await Rig.up(t);
  await startRedis(rig.stage);
  const switchConfig = { table: LOCAL_TABLE, dataplane: TEST_DATAPLANE };
  const roles = await rig.startPath({ switchConfig });
  const go = rig.go();
  const stitched = async (): Promise<number> => (await rig.stage.admin.flows({ state: 'stitched' })).length;

  const to = (family: 4 | 6): object => ({ host: addressOf('a', family), port: HTTP_PORT });
  const chat = { ...to(4), connections: CONNECTIONS, requests: REQUESTS, until: go.path };
  const chatting = rig.client<KeepAliveResult[]>('keepalive', chat);
  const bulk = { ...to(6), mode: 'down', bytes: BYTES, seed: 1, until: go.path };
  const transfers = rig.startClient('transfer', bulk);
  const all = CONNECTIONS + 1;
  await rig.stage.until(
    async () => (await stitched()) === all,
    30_000,
    () => `${all} flows should have been stitched`,
  );
  await rig.stage.until(
    async () => (await rig.stage.admin.stats()).counters['table.queued'] === 0,
    15_000,
    () => 'not all is in Redis',
  );

  roles.switch.kill('SIGKILL');
  await roles.switch.ended;
  removePinsOf(statSync(`/run/netns/${rig.namespace('s')}`).ino);
  await rig.stage.startSwitch(switchConfig);
  const { counters } = await rig.stage.admin.stats();
  t.match(counters, { 'start.restored': all, 'start.lost': 0, 'start.adopted': 0 }, 'all were restored');
  await Promise.all([rig.stage.agentReady('a1'), rig.stage.agentReady('b1')]);
  const shells = (await rig.stage.admin.agents()).find(({ name }) => name === 'a1');
  t.equal(shells?.flows, all, 'and are known to their shell');
  go.say();

  const [[results = []], transferred] = await Promise.all([
    chatting,
    transfers.report<TransferResult>(1, 120_000),
  ]);
  checkTransfer(t, transferred, BYTES);
  t.comment(`longest pause of ${transferred.transfers} transfers: ${transferred.pauseMs?.toFixed(0)} ms`);
  t.equal(results.length, CONNECTIONS);
  for (const result of [...results, transferred]) {
    t.equal(result.error, undefined);
    t.match(await rig.closed(result), { reason: 'fin', stitchedAt: String });
  }
  await rig.stage.until(
    async () => (await rig.stage.admin.agents()).every(({ flows }) => flows === 0),
    15_000,
    () => 'an agent still has flows',
  );
});
