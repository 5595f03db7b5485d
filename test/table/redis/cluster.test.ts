/** A cluster of three masters: a group lives in one slot, which may move, and whose master may die. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import type { RedisTarget } from '../../../src/platform/config/index.js';
import { flowRecord, tableContract } from '../../contract/table.js';
import { documentedAcl } from '../../support/redis/acl.js';
import { freePort, RedisServer, until } from '../../support/redis/server.js';
import { reader, redisTable, SeenFromOutside, saved, startedTable } from '../../support/redis/table.js';

const run = promisify(execFile);
const HOST = '127.0.0.1';

interface Node {
  readonly server: RedisServer;
  readonly id: string;
}

async function cluster(t: Test): Promise<{ readonly nodes: Node[]; readonly target: RedisTarget }> {
  const servers: RedisServer[] = [];
  for (let i = 0; i < 3; i++) {
    const config = {
      'cluster-enabled': 'yes',
      'cluster-port': String(await freePort()),
      'cluster-node-timeout': '1000',
    };
    servers.push(await RedisServer.start(t, { config }));
  }
  const places = servers.map(({ port }) => `${HOST}:${port}`);
  await run('redis-cli', ['--cluster', 'create', ...places, '--cluster-yes']);
  await until(
    async () => {
      const states = await Promise.all(servers.map((server) => server.cli('cluster', 'info')));
      return states.every((state) => state.includes('cluster_state:ok'));
    },
    () => 'the cluster is not ready',
  );
  const nodes: Node[] = [];
  for (const server of servers) nodes.push({ server, id: await server.cli('cluster', 'myid') });
  // One that knows the others is enough.
  const target: RedisTarget = {
    kind: 'cluster',
    nodes: [{ address: HOST, port: servers[0]?.port ?? 0 }],
    db: 0,
    tls: false,
  };
  return { nodes, target };
}

/** The node that has a slot, and another one. */
async function holders(nodes: readonly Node[], slot: string): Promise<{ owner: Node; other: Node }> {
  const owners = await Promise.all(
    nodes.map(async ({ server }) => Number(await server.cli('cluster', 'countkeysinslot', slot)) > 0),
  );
  const owner = nodes[owners.indexOf(true)];
  const other = nodes[owners.indexOf(false)];
  if (!owner || !other) throw new Error('no node has the slot');
  return { owner, other };
}

async function moveKeys(from: Node, to: Node, slot: string, most: number): Promise<boolean> {
  const keys = (await from.server.cli('cluster', 'getkeysinslot', slot, String(most)))
    .split('\n')
    .filter(Boolean);
  if (keys.length === 0) return false;
  await from.server.cli('migrate', HOST, String(to.server.port), '', '0', '5000', 'KEYS', ...keys);
  return true;
}

t.test('cluster', async (t) => {
  const { nodes, target } = await cluster(t);
  let groups = 0;

  await t.test('contract, each group in a slot of its own', async (t) => {
    tableContract(t, async (limits) => {
      const group = `g${++groups}`;
      return new SeenFromOutside(redisTable(target, { group, limits }), target, group);
    });
  });

  await t.test('a user with the documented ACL', async (t) => {
    const { rules, inCluster } = documentedAcl();
    for (const { server } of nodes) {
      await server.cli('acl', 'setuser', 'suture', 'on', '>p', ...rules, ...inCluster);
    }
    const table = redisTable({ ...target, user: 'suture', password: 'p' }, { group: 'acl' });
    await table.start();
    await table.put(flowRecord('1'));
    await table.secure('1');
    await table.delete('1');
    await table.stop();
    t.strictSame(await (await reader(t, target, 'acl')).list(), []);
  });

  await t.test('the slot moves to another master while flows change', async (t) => {
    const table = await startedTable(t, target, { group: 'moving' });
    for (let i = 0; i < 300; i++) await table.put(flowRecord(`${i}`, { openedAt: i }));
    await saved(table);
    const slot = await (nodes[0] as Node).server.cli('cluster', 'keyslot', 'suture:{moving}:lease');
    const { owner, other } = await holders(nodes, slot);
    await other.server.cli('cluster', 'setslot', slot, 'importing', owner.id);
    await owner.server.cli('cluster', 'setslot', slot, 'migrating', other.id);
    await moveKeys(owner, other, slot, 100);
    for (let i = 0; i < 300; i++) await table.put(flowRecord(`${i}`, { openedAt: i, state: 'stitched' }));
    await until(
      () => table.status().state === 'degraded',
      () => 'a slot that is half here and half there takes all',
    );
    t.equal(table.status().reason, 'not-writable');
    while (await moveKeys(owner, other, slot, 100));
    for (const { server } of [other, owner]) await server.cli('cluster', 'setslot', slot, 'node', other.id);
    await saved(table);
    const outside = await reader(t, target, 'moving');
    t.strictSame(await outside.list(), await table.list());
    t.equal((await holders(nodes, slot)).owner, other);
  });

  await t.test('the master of the slot dies and comes back without its data', async (t) => {
    const table = await startedTable(t, target, { group: 'dying', leaseMs: 300 });
    for (let i = 0; i < 50; i++) await table.put(flowRecord(`${i}`));
    await saved(table);
    const slot = await (nodes[0] as Node).server.cli('cluster', 'keyslot', 'suture:{dying}:lease');
    const { owner } = await holders(nodes, slot);
    await owner.server.kill();
    await until(
      () => table.status().state !== 'up',
      () => 'the loss was not noticed',
    );
    await t.rejects(table.secure('1'), { code: 'SUT_TABLE_UNAVAILABLE' });
    await table.put(flowRecord('meanwhile'));
    await owner.server.start();
    await saved(table);
    const outside = await reader(t, target, 'dying');
    t.equal((await outside.list()).length, 51);
  });
});
