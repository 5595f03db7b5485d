/** A master, its replica and a sentinel: the table follows the master, and makes up for what a failover lost. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { RedisTarget } from '../../../src/platform/config/index.js';
import { flowRecord } from '../../contract/table.js';
import { freePort, RedisServer, until } from '../../support/redis/server.js';
import { reader, saved, startedTable } from '../../support/redis/table.js';

const HOST = '127.0.0.1';
const NAME = 'the-master';

async function sentinelOf(t: Test, master: RedisServer): Promise<RedisServer> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'suture-sentinel-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'sentinel.conf');
  const lines = [
    `port ${port}`,
    `bind ${HOST}`,
    `dir ${folder}`,
    `sentinel monitor ${NAME} ${HOST} ${master.port} 1`,
    `sentinel down-after-milliseconds ${NAME} 500`,
    `sentinel failover-timeout ${NAME} 3000`,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return RedisServer.start(t, { port, sentinel: file });
}

async function trio(t: Test) {
  const config = { 'repl-diskless-sync-delay': '0' };
  const master = await RedisServer.start(t, { config });
  const replica = await RedisServer.start(t, {
    config: { ...config, replicaof: `${HOST} ${master.port}` },
  });
  await until(
    async () => (await replica.cli('info', 'replication')).includes('master_link_status:up'),
    () => 'the replica does not follow',
  );
  const sentinel = await sentinelOf(t, master);
  await until(
    async () => (await sentinel.cli('sentinel', 'replicas', NAME)).includes(String(replica.port)),
    () => 'the sentinel does not know the replica',
  );
  const nobody = { address: HOST, port: await freePort() };
  const nodes = [nobody, { address: HOST, port: sentinel.port }];
  const target: RedisTarget = { kind: 'sentinel', nodes, master: NAME, db: 0, tls: false };
  return { master, replica, sentinel, target };
}

const ids = (records: readonly { id: string }[]): string[] => records.map(({ id }) => id).sort();

t.test('the master dies, the replica takes its place', async (t) => {
  const { master, replica, target } = await trio(t);
  const table = await startedTable(t, target);
  for (let i = 0; i < 50; i++) await table.put(flowRecord(`before-${i}`));
  await saved(table);
  await master.kill();
  await until(
    () => table.status().state === 'down',
    () => 'the loss was not noticed',
  );
  await table.put(flowRecord('meanwhile'));
  await t.rejects(table.secure('meanwhile'), { code: 'SUT_TABLE_UNAVAILABLE' });
  await saved(table);
  await table.secure('meanwhile');
  const outside = await reader(t, replica.target);
  t.strictSame(ids(await outside.list()), ids(await table.list()), 'the new master has all flows');
  t.match(await replica.cli('role'), /^master/);
  t.strictSame(
    ids(await (await reader(t, target)).list()),
    ids(await table.list()),
    'and is found by others',
  );

  // The sentinel would see to that too, in its own time.
  await master.start();
  await master.cli('replicaof', HOST, String(replica.port));
  await until(
    async () => (await master.cli('info', 'replication')).includes('master_link_status:up'),
    () => 'the old master does not follow the new one',
  );
  await table.put(flowRecord('after'));
  await table.secure('after');
  t.match(await outside.get('after'), { id: 'after' });
});

t.test('the replica had not heard of everything', async (t) => {
  const { master, replica, target } = await trio(t);
  const table = await startedTable(t, target);
  await table.put(flowRecord('both'));
  await table.put(flowRecord('old'));
  await saved(table);
  await until(
    async () => (await replica.cli('exists', 'suture:{g}:flow:old')) === '1',
    () => 'nothing is replicated',
  );
  // It is cut off, and has no password to come back with; connections that there are go on.
  await master.cli('config', 'set', 'requirepass', 'x');
  await master.cli('-a', 'x', '--no-auth-warning', 'client', 'kill', 'type', 'replica');
  await table.put(flowRecord('both', { state: 'stitched' }));
  await table.put(flowRecord('lost'));
  await table.delete('old');
  await table.secure('both');
  await saved(table);
  t.equal(await replica.cli('hget', 'suture:{g}:flow:both', 'state'), 'relayed', 'the replica lags');
  await master.kill();
  await until(
    () => (table.status().counters.rewrites ?? 0) > 0,
    () => `the loss was not noticed: ${JSON.stringify(table.status())}`,
  );
  await saved(table);
  const outside = await reader(t, replica.target);
  t.strictSame(ids(await outside.list()), ['both', 'lost']);
  t.match(await outside.get('both'), { state: 'stitched' });
});

t.test('no sentinel answers', async (t) => {
  const { sentinel, target } = await trio(t);
  const table = await startedTable(t, target, { leaseMs: 300 });
  await sentinel.kill();
  await table.put(flowRecord('1'));
  await table.secure('1');
  t.equal(table.status().state, 'up', 'a connection that there is goes on');
});
