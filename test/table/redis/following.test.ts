/** A table that follows: it learns where the leader is, and looks sooner when something is missing, though not too often. */
import t from 'tap';
import { systemClock } from '../../../src/platform/clock.js';
import { flowRecord } from '../../contract/table.js';
import { RedisServer, until } from '../../support/redis/server.js';
import { redisTable, saved, startedTable } from '../../support/redis/table.js';

const GAP_MS = 10;

t.test('where the leader is comes with its lease', async (t) => {
  const server = await RedisServer.start(t);
  const first = await startedTable(t, server.target, { name: 's1', standby: true, links: 'one' });
  const told: string[] = [];
  const second = redisTable(server.target, { name: 's2', standby: true, links: 'two' });
  second.onLeader = async (links) => void told.push(links);
  await second.start();
  t.teardown(() => second.stop(AbortSignal.abort()));
  t.strictSame(told, ['one'], 'known when it has started');
  t.equal(first.isLeader, true);

  const third = redisTable(server.target, { name: 's3', standby: true, links: 'three' });
  await third.start();
  t.teardown(() => third.stop(AbortSignal.abort()));
  third.promote();
  await third.leading;
  await until(
    () => told.length > 1,
    () => 'it was not told of another leader',
  );
  t.strictSame(told, ['one', 'three']);
});

t.test('a miss makes it look, a bounded number of times', async (t) => {
  const server = await RedisServer.start(t);
  const leader = await startedTable(t, server.target, { name: 's1', standby: true });
  const follower = redisTable(server.target, { name: 's2', standby: true });
  await follower.start();
  t.teardown(() => follower.stop(AbortSignal.abort()));
  const lookups = (): number => follower.status().counters.lookups ?? 0;
  t.equal(lookups(), 0);
  follower.look();
  await until(
    () => lookups() === 1,
    () => 'it did not look',
  );

  const began = systemClock.monotonic();
  for (let i = 0; i < 10_000; i++) {
    follower.look();
    if (i % 100 === 0) await systemClock.sleep(1);
  }
  const most = (systemClock.monotonic() - began) / GAP_MS + 2;
  t.ok(lookups() > 1 && lookups() <= most, `${lookups()} looks, at most ${most.toFixed(0)}`);

  await leader.put(flowRecord('1', { state: 'stitched' }));
  await saved(leader);
  follower.look();
  await until(
    async () => (await follower.get('1'))?.state === 'stitched',
    () => 'what is new was not read',
  );
});
