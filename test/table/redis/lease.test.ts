/** Who may write: the lease of a group, and what becomes of who has lost it. */
import t, { type Test } from 'tap';
import { systemClock } from '../../../src/platform/clock.js';
import { type LeaseMemory, Session, type SessionOptions } from '../../../src/table/redis/session.js';
import { flowRecord } from '../../contract/table.js';
import { RedisServer, until } from '../../support/redis/server.js';
import { keptLog, reader, redisTable, saved, startedTable } from '../../support/redis/table.js';

const LEASE = 'suture:{g}:lease';

async function session(t: Test, server: RedisServer, change: Partial<SessionOptions> = {}) {
  const lease: LeaseMemory = { number: '', serial: 0, confirmed: 0 };
  const opened = await Session.open(
    {
      target: server.target,
      group: 'g',
      token: change.holder ?? 's1',
      holder: 's1',
      name: 'test',
      leaseMs: 60_000,
      keepClosedMs: 1_000,
      events: 100,
      links: '',
      timeoutMs: 5_000,
      clock: systemClock,
      ...change,
    },
    lease,
  );
  t.teardown(() => opened.link.close());
  return { session: opened, lease };
}

t.test('the number goes up with every new holder, and a write with an old one changes nothing', async (t) => {
  const server = await RedisServer.start(t);
  const { session: first, lease } = await session(t, server, { leaseMs: 50 });
  const other = await session(t, server, { holder: 's2' });
  t.equal(await first.take('free'), 'taken');
  await first.write([flowRecord('1')], true);
  await until(
    async () =>
      Number(await server.cli('hget', LEASE, 'until')) <
      Number((await server.cli('time')).split('\n')[0]) * 1000,
    () => 'the lease does not end',
  );
  t.equal(await first.take('free'), 'kept', "one that has ended is still its holder's while nobody took it");
  await until(
    () =>
      other.session.take('free').then(
        (how) => how === 'taken',
        (fault) => fault.kind !== 'lease',
      ),
    () => 'an ended lease is not taken',
  );
  t.ok(Number(other.lease.number) > Number(lease.number), `${other.lease.number} after ${lease.number}`);

  const late = { kind: 'lease', message: /switch s2 has it now/ };
  await t.rejects(first.write([flowRecord('1', { state: 'stitched' })], true), late);
  await t.rejects(first.remove(['1']), late);
  await t.rejects(first.take('free'), { kind: 'lease', message: /switch s2 is the active one of group g/ });
  await first.release();
  const outside = await reader(t, server.target);
  t.strictSame(await outside.list(), [flowRecord('1')]);
  t.equal(await server.cli('hget', LEASE, 'name'), 's2', "who has not got it can't give it back");

  await other.session.release();
  const before = Number(lease.number);
  t.equal(await first.take('free'), 'taken', 'one that was given back is free at once');
  t.ok(Number(lease.number) > before);
});

t.test('the number goes up even when Redis has lost the one before', async (t) => {
  const server = await RedisServer.start(t);
  const { session: one, lease } = await session(t, server);
  const numbers: number[] = [];
  for (let i = 0; i < 3; i++) {
    t.equal(await one.take('free'), 'taken');
    numbers.push(Number(lease.number));
    await server.cli('flushall');
    await t.rejects(one.write([flowRecord('1')], true), { kind: 'lease', message: /nobody has it now/ });
    // The clock that keeps it from going back counts milliseconds.
    await systemClock.sleep(2);
  }
  t.strictSame(
    numbers,
    [...new Set(numbers)].sort((a, b) => a - b),
  );
  await server.cli('hset', LEASE, 'number', '99999999999999', 'until', '0');
  await one.take('free');
  t.equal(lease.number, '100000000000000', 'above one that is ahead of the clock');
});

t.test('the same name takes it at a start, another one does not', async (t) => {
  const server = await RedisServer.start(t);
  const { session: before } = await session(t, server, { token: 'before' });
  const { session: after } = await session(t, server, { token: 'after' });
  const { session: other } = await session(t, server, { holder: 's2' });
  await before.take('same-name');
  await t.rejects(other.take('same-name'), { name: 'TableFault', kind: 'lease' });
  await t.rejects(
    after.take('free'),
    { name: 'TableFault', kind: 'lease' },
    'nor the same name later: else two would take it in turns',
  );
  t.equal(await after.take('same-name'), 'taken');
});

t.test('a write that was long under way does not undo a later one', async (t) => {
  const server = await RedisServer.start(t);
  const { session: one, lease } = await session(t, server);
  await one.take('free');
  await one.write([flowRecord('1', { state: 'stitched' })], true);
  await one.write([flowRecord('1', { state: 'closing' })], true);
  lease.serial = 0;
  lease.confirmed = 0;
  await t.rejects(one.write([flowRecord('1', { state: 'stitched' })], true), { message: /stale/ });
  t.match(await (await reader(t, server.target)).get('1'), { state: 'closing' });
});

t.test('a server that has forgotten confirmed writes is found out', async (t) => {
  const server = await RedisServer.start(t);
  const { session: one } = await session(t, server);
  await one.take('free');
  for (let i = 0; i < 3; i++) await one.write([flowRecord(`${i}`)], true);
  await server.cli('hset', LEASE, 'serial', '1');
  await t.rejects(one.write([flowRecord('x')], true), { kind: 'data-lost', message: /^2 confirmed writes/ });
  await one.write([flowRecord('x')], true);
  await server.cli('hset', LEASE, 'serial', '1');
  await t.rejects(one.take('free'), { name: 'TableFault', kind: 'data-lost' });
});

t.test('a second switch of the group gives up; when the first stops it gets the group', async (t) => {
  const server = await RedisServer.start(t);
  const first = await startedTable(t, server.target, { leaseMs: 300 });
  const second = redisTable(server.target, { name: 's2', leaseMs: 300 });
  const message = /switch s1 is the active one of group g$/;
  await t.rejects(second.start(), { code: 'SUT_TABLE_LEASE', message });
  await first.put(flowRecord('1', { state: 'stitched' }));
  const elsewhere = await startedTable(t, server.target, { name: 's2', group: 'h' });
  t.equal(elsewhere.status().state, 'up', 'another group is another lease');
  await first.stop();
  const third = await startedTable(t, server.target, { name: 's2', leaseMs: 300 });
  t.match(await third.list(), [{ id: '1', state: 'stitched' }]);
});

for (const durability of ['strict', 'relaxed'] as const) {
  t.test(`a switch that lost its lease writes nothing, until it has it again (${durability})`, async (t) => {
    const server = await RedisServer.start(t);
    const { log, lines } = keptLog();
    const first = await startedTable(t, server.target, { leaseMs: 300, durability, log });
    await first.put(flowRecord('1'));
    await first.put(flowRecord('gone'));
    await saved(first);
    const second = redisTable(server.target, { leaseMs: 300 });
    await second.start();
    await until(
      () => first.status().reason === 'lease',
      () => `the loss was not noticed: ${JSON.stringify(first.status())}`,
    );
    await first.put(flowRecord('1', { state: 'stitched' }));
    await first.put(flowRecord('mine'));
    await first.delete('gone');
    await t.rejects(first.secure('1'), { code: 'SUT_TABLE_LEASE' });
    await second.put(flowRecord('theirs', { state: 'stitched' }));
    await second.put(flowRecord('1', { state: 'closing' }));
    await second.secure('theirs');
    const outside = await reader(t, server.target);
    await saved(second);
    t.match(await outside.get('1'), { state: 'closing' }, 'what the second wrote stands');
    t.equal(await outside.get('mine'), undefined);
    t.equal(first.status().state, 'degraded');

    await second.stop();
    await saved(first);
    t.match(await outside.get('1'), { state: 'stitched' });
    t.match(await outside.get('mine'), { state: 'relayed' });
    t.equal(await outside.get('gone'), undefined);
    t.match(await outside.get('theirs'), { state: 'closed', reason: 'switch-lost' }, 'its carrier is gone');
    t.match(await first.get('theirs'), { state: 'closed', reason: 'switch-lost' });
    await first.secure('1');
    t.match(lines.filter(({ state }) => state === 'degraded').map(({ reason }) => reason)[0], 'lease');
  });
}

t.test('what a newer version wrote is left alone', async (t) => {
  const server = await RedisServer.start(t);
  await server.cli('hset', LEASE, 'layout', '2');
  const newer = { code: 'SUT_TABLE_LAYOUT', message: /found layout 2, expected 1/ };
  await t.rejects(redisTable(server.target).start(), newer);
  await server.cli('del', LEASE);
  await server.cli('hset', 'suture:{g}:flow:1', 'v', '2', 'state', 'folded');
  await server.cli('zadd', 'suture:{g}:flows', 'inf', '1');
  await t.rejects(redisTable(server.target).start(), newer);
  await server.cli('zrem', 'suture:{g}:flows', '1');

  const table = await startedTable(t, server.target);
  await table.put(flowRecord('1'));
  await t.rejects(table.secure('1'), {
    code: 'SUT_TABLE_LAYOUT',
    message: /flow:1 was written by a newer version/,
  });
  t.match(table.status(), { state: 'degraded', reason: 'layout' });
  t.equal(await server.cli('hget', 'suture:{g}:flow:1', 'state'), 'folded');
  await table.delete('1');
  await until(
    () => table.status().counters.failures !== 1,
    () => 'it is not tried again',
  );
  t.equal(await server.cli('hget', 'suture:{g}:flow:1', 'state'), 'folded');
});

t.test('the stream of events has every change of a state once', async (t) => {
  const server = await RedisServer.start(t);
  const table = await startedTable(t, server.target, { events: 1_000 });
  for (const state of ['relayed', 'clamping', 'clamping', 'stitched', 'closed'] as const) {
    await table.put(
      flowRecord('1', { state, ...(state === 'closed' && { reason: 'fin' as const, closedAt: 9 }) }),
    );
    await table.secure('1');
  }
  const text = (await server.cli('xrange', 'suture:{g}:events', '-', '+')).split('\n');
  const states = text.flatMap((line, i) => (line === 'state' ? [text[i + 1]] : []));
  t.strictSame(states, ['relayed', 'clamping', 'stitched', 'closed']);
  t.ok(text.includes('fin'));
  const many = await startedTable(t, server.target, { group: 'many', events: 100 });
  for (let i = 0; i < 2_000; i++) await many.put(flowRecord(`${i}`));
  await saved(many);
  const length = Number(await server.cli('xlen', 'suture:{many}:events'));
  // "~" lets Redis keep whole nodes of its tree, of 100 entries.
  t.ok(length >= 100 && length <= 300, `${length} events kept`);
});
