/** What waiting for work leaves behind: a writer waits some 50 times a second, on one connection for weeks. */
import v8 from 'node:v8';
import t from 'tap';
import { flowRecord } from '../../contract/table.js';
import { RedisServer } from '../../support/redis/server.js';
import { saved, startedTable } from '../../support/redis/table.js';

const TURNS = 300;
/** Promises that are under way, or that nobody collected yet. */
const SLACK = 100;

const { queryObjects } = v8 as { queryObjects?: (of: unknown, options: { format: 'count' }) => number };
const skip = queryObjects ? false : `Node ${process.version} has no v8.queryObjects; 20.13 has it`;

t.test('a writer that waits for work leaves no promise behind', { skip }, async (t) => {
  const { target } = await RedisServer.start(t);
  const table = await startedTable(t, target);
  const turns = async (): Promise<number> => {
    for (let i = 0; i < TURNS; i++) {
      await table.put(flowRecord(String(i % 10), { openedAt: i }));
      await table.secure(String(i % 10));
    }
    await saved(table);
    return queryObjects?.(Promise, { format: 'count' }) ?? 0;
  };
  const before = await turns();
  const after = await turns();
  t.ok(before > 0, 'they can be counted');
  t.ok(after < before + SLACK, `${after} promises after ${TURNS} turns, ${before} before`);
});
