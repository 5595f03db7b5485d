/** What can happen to a Redis while a switch runs on it, with real servers. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import t, { type Test } from 'tap';
import { type Clock, systemClock } from '../../../src/platform/clock.js';
import type { FlowRecord } from '../../../src/table/port.js';
import type { RedisTable } from '../../../src/table/redis/table.js';
import { flowRecord } from '../../contract/table.js';
import { FakeClock } from '../../midcom/support/fake-clock.js';
import { quickClock } from '../../support/redis/clock.js';
import { freePort, RedisServer, until } from '../../support/redis/server.js';
import {
  keptLog,
  LIMITS,
  type LogLine,
  reader,
  redisTable,
  saved,
  startedTable,
} from '../../support/redis/table.js';

const stitched = (id: string): FlowRecord => flowRecord(id, { state: 'stitched', stitchedAt: 1_500 });

async function putAll(table: RedisTable, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await table.put(flowRecord(`${i}`, { openedAt: i }));
}

function becomes(table: RedisTable, wanted: object): Promise<void> {
  const is = (status: object): boolean =>
    Object.entries(wanted).every(([key, value]) => Reflect.get(status, key) === value);
  return until(
    () => is(table.status()),
    () => `not ${JSON.stringify(wanted)} but ${JSON.stringify(table.status())}`,
  );
}

async function sameInside(t: Test, table: RedisTable, server: RedisServer): Promise<void> {
  const outside = await reader(t, server.target);
  const byId = (a: FlowRecord, b: FlowRecord): number => (a.id < b.id ? -1 : 1);
  const [found, wanted] = [await outside.list(), await table.list()].map((list) => list.sort(byId));
  t.strictSame(
    found?.map(({ id }) => id),
    wanted?.map(({ id }) => id),
    'Redis has the flows that the table has',
  );
  t.ok(isDeepStrictEqual(found, wanted), 'and of each what the table has');
}

const changes = (lines: readonly LogLine[]): string[] =>
  lines.flatMap(({ state, reason }) => (state === undefined ? [] : [reason ?? state]));

t.test('it hangs without closing anything, and goes on', async (t) => {
  const server = await RedisServer.start(t);
  const { log, lines } = keptLog();
  const table = await startedTable(t, server.target, { timeoutMs: 500, leaseMs: 600, log });
  await table.put(flowRecord('1'));
  await table.secure('1');
  server.signal('SIGSTOP');
  await table.put(stitched('1'));
  const late = { code: 'SUT_TABLE_UNAVAILABLE', message: /no answer within 500 ms/ };
  await t.rejects(table.secure('1'), late, 'who waits is told when the time is up');
  await becomes(table, { state: 'down', reason: 'no-answer' });
  await t.rejects(table.secure('1'), { code: 'SUT_TABLE_UNAVAILABLE' }, 'and the next one at once');
  await table.put(flowRecord('2'));
  t.equal(table.status().counters.queued, 2);
  server.signal('SIGCONT');
  await saved(table);
  await table.secure('1');
  await sameInside(t, table, server);
  t.strictSame(changes(lines), ['up', 'no-answer', 'up'], 'the log has each change once');
});

t.test('its memory is full', async (t) => {
  const server = await RedisServer.start(t);
  const table = await startedTable(t, server.target);
  await putAll(table, 0, 1_000);
  await saved(table);
  const used = /used_memory:(\d+)/.exec(await server.cli('info', 'memory'))?.[1] ?? '';
  await server.cli('config', 'set', 'maxmemory', String(Math.floor(Number(used) / 2)));
  await table.put(stitched('1'));
  await t.rejects(table.secure('1'), { code: 'SUT_TABLE_UNAVAILABLE', message: /OOM/ });
  t.match(table.status(), { state: 'degraded', reason: 'out-of-memory' });
  t.equal((await table.get('1'))?.state, 'stitched', 'the switch has its table all the same');
  const outside = await reader(t, server.target);
  t.equal((await outside.get('1'))?.state, 'relayed');
  for (let i = 500; i < 900; i++) await table.delete(`${i}`);
  await until(
    async () => (await server.cli('zcard', 'suture:{g}:flows')) === '600',
    () => 'what is gone is not taken out of a full Redis',
  );
  await server.cli('config', 'set', 'maxmemory', '0');
  await saved(table);
  await table.secure('1');
  await sameInside(t, table, server);
});

t.test('it dies and comes back empty: all flows are written again', async (t) => {
  const server = await RedisServer.start(t);
  const { log, lines } = keptLog();
  const table = await startedTable(t, server.target, { log });
  await putAll(table, 0, 700);
  await table.put(flowRecord('over', { state: 'closed', reason: 'fin', closedAt: 5 }));
  await saved(table);
  await server.kill();
  await becomes(table, { state: 'down', reason: 'unreachable' });
  await table.put(stitched('1'));
  await server.start();
  await saved(table);
  await sameInside(t, table, server);
  t.equal(table.status().counters.rewrites, 1);
  t.strictSame(changes(lines), ['up', 'unreachable', 'rewriting', 'up']);
  t.equal(await server.cli('zscore', 'suture:{g}:flows', 'over'), String(5 + 240_000));
  t.equal(await server.cli('zscore', 'suture:{g}:flows', '1'), 'inf');
});

t.test('it dies and comes back as it was a while ago', async (t) => {
  const server = await RedisServer.start(t);
  const table = await startedTable(t, server.target);
  await putAll(table, 0, 10);
  await saved(table);
  await server.cli('save');
  await table.put(stitched('1'));
  await table.secure('1');
  await table.delete('2');
  await table.put(flowRecord('new'));
  await saved(table);
  await server.kill();
  await server.start();
  t.ok(server.log.includes('DB loaded from disk'), 'it has the old data');
  await until(
    () => table.status().counters.rewrites === 1,
    () => 'the loss was not noticed',
  );
  await saved(table);
  await sameInside(t, table, server);
});

t.test('more changes than are remembered', async (t) => {
  const server = await RedisServer.start(t);
  const table = await startedTable(t, server.target, { queue: 50 });
  await putAll(table, 0, 40);
  await saved(table);
  await server.kill();
  await becomes(table, { state: 'down' });
  await server.cli('ping').catch(() => {});
  await putAll(table, 20, 300);
  for (let i = 0; i < 10; i++) await table.delete(`${i}`);
  const { queued = 0, dropped = 0 } = table.status().counters;
  t.ok(queued <= 50, `${queued} are queued`);
  t.ok(dropped >= 250, `${dropped} were dropped`);
  await server.start();
  await saved(table);
  await sameInside(t, table, server);
  t.equal((await table.list()).length, 290);
});

t.test('an overflow while Redis holds flows that are gone', async (t) => {
  const server = await RedisServer.start(t, { config: { appendonly: 'yes', appendfsync: 'always' } });
  const table = await startedTable(t, server.target, { queue: 10 });
  await putAll(table, 0, 100);
  await saved(table);
  await server.kill();
  await becomes(table, { state: 'down' });
  for (let i = 0; i < 60; i++) await table.delete(`${i}`);
  await server.start();
  await saved(table);
  await sameInside(t, table, server);
  t.equal(await server.cli('zcard', 'suture:{g}:flows'), '40');
});

t.test("it becomes a replica, or can't save", async (t) => {
  const server = await RedisServer.start(t);
  const table = await startedTable(t, server.target, { leaseMs: 300 });
  await server.cli('replicaof', '127.0.0.1', String(await freePort()));
  await becomes(table, { state: 'degraded', reason: 'not-writable' });
  await table.put(flowRecord('1'));
  await server.cli('replicaof', 'no', 'one');
  await saved(table);
  await sameInside(t, table, server);
});

/** Waits pass at once, time limits do not. */
function hastyClock(waits: number[], limits: readonly number[]): Clock {
  const sleep: Clock['sleep'] = (ms, signal) => {
    if (limits.includes(ms) || ms > 5_000) return systemClock.sleep(ms, signal);
    waits.push(ms);
    return systemClock.sleep(1, signal);
  };
  return { ...systemClock, sleep };
}

t.test('it stays away: the waits get longer, up to seconds', async (t) => {
  const server = await RedisServer.start(t);
  const waits: number[] = [];
  const { log, lines } = keptLog();
  const clock = hastyClock(waits, LIMITS);
  const table = await startedTable(t, server.target, { clock, log, leaseMs: 60_000 });
  waits.length = 0;
  await server.kill();
  await until(
    () => (table.status().counters.failures ?? 0) >= 30,
    () => 'it is not tried again',
  );
  const [first = 0, second = 0, ...more] = waits;
  t.ok(first >= 50 && first <= 100, `first ${first} ms`);
  t.ok(second >= 100 && second <= 200, `then ${second} ms`);
  t.ok(
    more.slice(6).every((ms) => ms >= 2_500 && ms <= 5_000),
    `at last ${more.slice(6)}`,
  );
  t.strictSame(changes(lines), ['up', 'unreachable'], 'and the log is not filled with it');
});

t.test('it is not there at a start', async (t) => {
  const port = await freePort();
  const target = { kind: 'server', nodes: [{ address: '127.0.0.1', port }], db: 0, tls: false } as const;
  const clock = quickClock(LIMITS);
  const began = clock.monotonic();
  const table = redisTable(target, { clock });
  await t.rejects(table.start(), { code: 'SUT_TABLE_UNAVAILABLE', message: /ECONNREFUSED/ });
  t.ok(clock.monotonic() - began >= 10_000, 'after ten seconds');

  const late = redisTable(target);
  const starting = late.start();
  const server = await RedisServer.start(t, { port });
  await starting;
  t.equal(late.status().state, 'up', 'one that comes a little later is waited for');
  await late.stop();
  await server.cli('config', 'set', 'requirepass', 'x');
  await t.rejects(redisTable(target).start(), { code: 'SUT_TABLE_UNAVAILABLE', message: /NOAUTH/ });
});

t.test('a start that is given up waits for no Redis, and gives back the lease that it got', async (t) => {
  const port = await freePort();
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => silent.close());
  // Nothing ends by itself: this clock stands still.
  const clock = new FakeClock();
  for (const to of [port, (silent.address() as AddressInfo).port]) {
    const node = { address: '127.0.0.1', port: to };
    const table = redisTable({ kind: 'server', nodes: [node], db: 0, tls: false }, { clock });
    const starting = table.start();
    await until(
      () => table.status().state === 'down' || table.status().counters.connections === 1,
      () => 'it was not tried',
    );
    table.giveUp();
    await t.rejects(starting, { code: 'SUT_SHUTTING_DOWN' });
  }

  const server = await RedisServer.start(t);
  const table = redisTable(server.target);
  const starting = table.start();
  table.giveUp();
  await starting.catch(() => {});
  await table.stop();
  t.notOk(Number(await server.cli('hget', 'suture:{g}:lease', 'until')) > 0, 'the lease is free');
});

t.test(
  'a stop writes what is left and gives the lease back; without Redis it says what it could not',
  async (t) => {
    const server = await RedisServer.start(t);
    const first = redisTable(server.target);
    await first.start();
    await putAll(first, 0, 2_000);
    await first.stop();
    t.equal(await server.cli('zcard', 'suture:{g}:flows'), '2000');
    t.equal(await server.cli('hget', 'suture:{g}:lease', 'until'), '0');
    const { log, lines } = keptLog();
    const second = redisTable(server.target, { log });
    await second.start();
    await server.kill();
    await becomes(second, { state: 'down' });
    await second.put(flowRecord('1'));
    await second.stop();
    t.match(lines.at(-1), { level: 'warn', msg: 'not all flows were saved', queued: 1 });
  },
);
