/** A switch with its table in Redis: what others see, what happens without Redis, and what a start finds. */
import { writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { Program } from '../../src/lab/program.js';
import { LOCAL_TABLE, startRedis } from '../../src/lab/redis.js';
import { addressOf, HTTP_PORT } from '../../src/lab/stage.js';
import type { FlowDetail, FlowView, StatsView } from '../../src/switch/admin-protocol.js';
import { checkClosed, checkTransfer } from '../support/lab/checks.js';
import type { TransferResult } from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';
import { transferStitched } from '../support/lab/transfers.js';

const BYTES = 5_000_000;
/** Longer than the test takes. */
const ENDLESS = 200_000_000_000;

async function kill(program: Program): Promise<void> {
  program.kill('SIGKILL');
  await program.ended;
}

t.test('a table in Redis', async (t) => {
  const rig = await Rig.up(t);
  let redis = await startRedis(rig.stage);
  const roles = await rig.startPath({ switchConfig: { table: LOCAL_TABLE, redis: { timeout: 0.5 } } });

  async function fromRedis(...args: string[]): Promise<FlowView[]> {
    const { code, stdout, stderr } = await rig.suture('s', [
      'flows',
      ...args,
      '--table',
      LOCAL_TABLE,
      '--json',
    ]);
    if (code !== 0) throw new Error(`suture flows --table ended with ${code}: ${stdout}${stderr}`);
    return JSON.parse(stdout);
  }

  const one = { host: addressOf('a', 4), port: HTTP_PORT, mode: 'both', bytes: BYTES, seed: 1 } as const;

  async function untilTable(state: string): Promise<StatsView> {
    let stats = await rig.stage.admin.stats();
    await rig.stage.until(
      async () => {
        stats = await rig.stage.admin.stats();
        return stats.table.state === state && (state !== 'up' || stats.counters['table.queued'] === 0);
      },
      30_000,
      () => `the table is not ${state}: ${JSON.stringify(stats.table)}`,
    );
    return stats;
  }

  await t.test('another program finds there what the switch shows', async (t: Test) => {
    const result = await transferStitched(rig, one);
    checkTransfer(t, result, BYTES);
    const flow = await checkClosed(t, rig, result);
    await untilTable('up');
    t.strictSame(await fromRedis(), await rig.stage.admin.flows());
    const { stdout } = await rig.suture('s', ['flows', 'show', flow.id, '--table', LOCAL_TABLE, '--json']);
    t.strictSame(JSON.parse(stdout) as FlowDetail, flow);
  });

  const args = { host: addressOf('a', 4), port: HTTP_PORT, mode: 'down', bytes: ENDLESS, seed: 1 };
  const running = rig.startClient('transfer', args);
  let id = '';
  await rig.stage.until(
    async () => {
      id = (await rig.stage.admin.flows({ state: 'stitched' }))[0]?.id ?? '';
      return id !== '';
    },
    15_000,
    () => 'nothing was stitched',
  );
  await untilTable('up');

  await t.test('Redis is gone: what is stitched goes on, what is new is relayed', async (t) => {
    await kill(redis);
    t.match((await untilTable('down')).table, { kind: 'redis', group: 'default', reason: 'unreachable' });
    const before = (await rig.stage.admin.flow(id)).down.bytes;
    const [result] = await rig.client<TransferResult>('transfer', one);
    checkTransfer(t, result, BYTES);
    const flow = await rig.flowOf(result as TransferResult);
    t.equal(flow.stitchedAt, undefined, 'the new one was not stitched');
    const after = await rig.stage.admin.flow(id);
    t.equal(after.state, 'stitched');
    t.ok(after.down.bytes > before, 'and the other one carried on');
    const gone = await rig.suture('s', ['flows', '--table', LOCAL_TABLE, '--json']);
    t.equal(gone.code, 1);
    t.match(JSON.parse(gone.stdout), { error: { code: 'SUT_TABLE_UNAVAILABLE' } });
  });

  await t.test('Redis is back, and empty: all is written again, and stitched again', async (t) => {
    redis = await startRedis(rig.stage);
    await untilTable('up');
    const shown = (await rig.stage.admin.flows()).map((flow) => [flow.id, flow.state]);
    t.strictSame(
      (await fromRedis()).map((flow) => [flow.id, flow.state]),
      shown,
    );
    const result = await transferStitched(rig, one);
    checkTransfer(t, result, BYTES);
    await checkClosed(t, rig, result);
  });

  await t.test(
    'the switch is killed: its flows are still to be read, and the next start goes on with them',
    async (t) => {
      await untilTable('up');
      await kill(roles.switch);
      t.match(await fromRedis('--state', 'stitched'), [{ id }]);
      await running.stop();
      await rig.stage.startSwitch({ dataplane: 'userspace', table: LOCAL_TABLE });
      let ended = await rig.stage.admin.flow(id);
      await rig.stage.until(
        async () => {
          ended = await rig.stage.admin.flow(id);
          return ended.state === 'closed';
        },
        30_000,
        () => `${id} is ${ended.state}`,
      );
      // Its peer was killed while nobody carried it: what the core sends again is answered with a reset.
      t.match(ended, { state: 'closed', reason: 'reset-by-peer', closedAt: String });
      await untilTable('up');
      t.match(await fromRedis('--state', 'stitched'), []);
      await Promise.all([rig.stage.agentReady('a1'), rig.stage.agentReady('b1')]);
      const result = await transferStitched(rig, one);
      checkTransfer(t, result, BYTES);
      await checkClosed(t, rig, result);
    },
  );
});

t.test('a switch without a data path ends with the reason, and keeps the lease from nobody', async (t) => {
  const rig = await Rig.up(t);
  await startRedis(rig.stage);
  const file = rig.file('no-folder');
  writeFileSync(file, '');
  // It would last far longer than the test.
  const redis = { lease: 300, timeout: 5 };
  const start = rig.stage.startSwitch({ dataplane: 'kernel', bpffs: file, table: LOCAL_TABLE, redis });
  await t.rejects(start, { message: /SUT_DATAPLANE_UNAVAILABLE/ });
  const token = await rig.tool('s', ['redis-cli', 'hget', 'suture:{default}:lease', 'token']);
  t.equal(token.trim(), '', 'nobody has the lease');
  await rig.startPath({ switchConfig: { table: LOCAL_TABLE } });
  const one = { host: addressOf('a', 4), port: HTTP_PORT, mode: 'both', bytes: BYTES, seed: 1 } as const;
  const result = await transferStitched(rig, one);
  checkTransfer(t, result, BYTES);
});
