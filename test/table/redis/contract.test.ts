/** The table's contract on a real Redis: as the switch sees its table, and as another program finds it there. */
import t from 'tap';
import { tableContract } from '../../contract/table.js';
import { RedisServer } from '../../support/redis/server.js';
import { redisTable, SeenFromOutside } from '../../support/redis/table.js';

let groups = 0;

t.test('plain Redis', async (t) => {
  const { target } = await RedisServer.start(t);
  const next = (): string => `g${++groups}`;
  await t.test('as its switch sees it', async (t) => {
    tableContract(t, async (limits) => redisTable(target, { group: next(), limits }));
  });
  await t.test('as another program finds it', async (t) => {
    tableContract(t, async (limits) => {
      const group = next();
      return new SeenFromOutside(redisTable(target, { group, limits }), target, group);
    });
  });
});
