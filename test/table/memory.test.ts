import t from 'tap';
import { MemoryTable } from '../../src/table/memory.js';
import { flowRecord, tableContract } from '../contract/table.js';

t.test('contract', (t) => {
  tableContract(t, async (limits) => new MemoryTable(limits));
  t.end();
});

t.test('by default an ended flow is kept as long as it lingers, and 10,000 of them', async (t) => {
  const table = new MemoryTable();
  for (let i = 0; i <= 10_000; i++) {
    await table.put(flowRecord(`${i}`, { state: 'closed', reason: 'fin', closedAt: 1_000 }));
  }
  t.equal((await table.list()).length, 10_000);
  t.equal(await table.get('0'), undefined);
  t.strictSame(await table.expire(240_999), []);
  t.equal((await table.expire(241_000)).length, 10_000);
});
