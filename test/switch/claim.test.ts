import t from 'tap';
import { claim } from '../../src/switch/claim.js';

// Abstract names are the network namespace's: no other test run may have the same.
const mine = `t${process.pid}`;
const eth = (n: number): string => `${mine}-${n}`;

t.test('a name and an interface are one switch’s at a time', async (t) => {
  const first = await claim(`${mine}-a`, [eth(1), eth(2)]);
  await t.rejects(claim(`${mine}-a`, [eth(3)]), {
    code: 'SUT_ALREADY_RUNNING',
    message: new RegExp(`name ${mine}-a`),
  });
  await t.rejects(claim(`${mine}-b`, [eth(3), eth(2)]), {
    code: 'SUT_ALREADY_RUNNING',
    message: new RegExp(`interface ${eth(2)}:`),
  });
  const beside = await claim(`${mine}-b`, [eth(3)]);
  first.release();
  const next = await claim(`${mine}-a`, [eth(1), eth(2)]);
  next.release();
  beside.release();
});
