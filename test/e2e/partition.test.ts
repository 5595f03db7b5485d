/**
 * A switch that can't reach Redis any more, and still has all packets: another one becomes the active switch of the group
 * meanwhile. What was stitched goes on where its packets come, and the one without the lease stitches nothing new: never
 * do two cut. About 13 s.
 *
 * `durability: relaxed` leaves that to the lease alone; with `strict` no record can be written either (`table.test.ts`).
 */
import t from 'tap';
import { startRedis } from '../../src/lab/redis.js';
import { addressOf, RAW_PORT } from '../../src/lab/stage.js';
import type { AdminClient } from '../../src/switch/admin-client.js';
import type { FlowView } from '../../src/switch/admin-protocol.js';
import { GROUP_REDIS, groupConfig, inRole, oneActive } from '../support/lab/group.js';
import type { PingPongResult } from '../support/lab/results.js';
import { type Client, Rig } from '../support/lab/rig.js';

const FLOWS = 5;
/** A busy machine must not make the first switch lose its place by itself, before it is cut off. */
const LEASE_S = 3;
const LEGS = [
  { host: 'e', device: 'to-e', net: 1 },
  { host: 'a', device: 'to-a', net: 2 },
  { host: 'b', device: 'to-b', net: 3 },
] as const;

t.test('cut off from Redis, and not from traffic', async (t) => {
  const rig = await Rig.up(t, { standby: true });
  await rig.tool('w', ['ip', 'addr', 'add', `${GROUP_REDIS}/24`, 'dev', 'br-b']);
  await startRedis(rig.stage, { host: 'w', address: GROUP_REDIS });
  const switchConfig = { ...groupConfig(), durability: 'relaxed', redis: { lease: LEASE_S } };
  const { shell } = await rig.startPath({ switchConfig });
  const first = rig.stage.admin;
  const { admin: second } = await rig.stage.startStandby(switchConfig);
  await inRole(rig, second, 'standby');

  /** Its connections' flows are those that come last. */
  function rally(connections: number, go: string): Client {
    const args = { host: addressOf('a', 4), port: RAW_PORT, connections, rounds: 1, seed: 7 };
    return rig.startClient('pingpong', { ...args, min: 100, max: 5_000, gapMs: 20, until: go });
  }
  const all = (admin: AdminClient): Promise<FlowView[]> => admin.flows();
  const stitched = (admin: AdminClient): Promise<FlowView[]> => admin.flows({ state: 'stitched' });

  const go = rig.go();
  const old = rally(FLOWS, go.path);
  for (const admin of [first, second]) {
    await rig.stage.until(
      async () => (await stitched(admin)).length === FLOWS,
      30_000,
      () => `${FLOWS} flows should be known to both`,
    );
  }

  await inRole(rig, first, 'active');
  // Whatever the other one announces, the hosts go on sending to the first.
  for (const { host, device, net } of LEGS) {
    const [link] = JSON.parse(await rig.tool('s', ['ip', '-json', 'link', 'show', device]));
    const neighbour = [`10.201.${net}.1`, 'lladdr', link.address, 'dev', 'eth0', 'nud', 'permanent'];
    await rig.tool(host, ['ip', 'neigh', 'replace', ...neighbour]);
  }
  const rules = `table inet cutoff { chain c { type filter hook output priority 0; ip daddr ${GROUP_REDIS} drop; }; }`;
  await rig.tool('s', ['nft', '-f', '-'], rules);
  await inRole(rig, second, 'active');

  const newGo = rig.go();
  const fresh = rally(1, newGo.path);
  let here: FlowView[] = [];
  await rig.stage.until(
    async () => {
      here = (await all(first)).filter(({ state }) => state !== 'stitched');
      return here.some(({ state }) => state === 'relayed');
    },
    30_000,
    () => `the new connection is not relayed: ${JSON.stringify(here)}`,
  );
  await shell.line(/SUT_TABLE_LEASE/, 30_000);
  here = (await all(first)).filter(({ state }) => state !== 'stitched');
  t.match(here, [{ state: 'relayed' }], 'the one without the lease has not cut the new connection');
  t.equal(here.length, 1);
  t.equal((await all(first)).length, FLOWS + 1);
  t.same(
    (await all(second)).map(({ id }) => id).sort(),
    (await stitched(first)).map(({ id }) => id).sort(),
    'and the one with it knows of no other than those that were stitched before',
  );

  await t.test('they are together again: there is one, and no connection was lost', async (t) => {
    await rig.tool('s', ['nft', 'delete', 'table', 'inet', 'cutoff']);
    for (const { host, net } of LEGS) {
      await rig.tool(host, ['ip', 'neigh', 'del', `10.201.${net}.1`, 'dev', 'eth0']);
    }
    await oneActive(rig, [first, second]);
    go.say();
    newGo.say();
    for (const [client, connections] of [
      [old, FLOWS],
      [fresh, 1],
    ] as const) {
      const results = await client.report<PingPongResult[]>(0);
      t.equal(results.length, connections);
      t.strictSame(
        results.flatMap(({ error }) => error ?? []),
        [],
        'every byte',
      );
    }
  });
});
