/** What `Control` asks of its table, and what it does when the table can't. */
import t, { type Test } from 'tap';
import { type Clock, systemClock } from '../../src/platform/clock.js';
import { silentLog } from '../../src/platform/log.js';
import { Control } from '../../src/switch/control.js';
import { MemoryTable } from '../../src/table/memory.js';
import type { FlowTable } from '../../src/table/port.js';
import { flowRecord } from '../contract/table.js';
import { FakeClock } from '../midcom/support/fake-clock.js';
import { RedisServer, until } from '../support/redis/server.js';
import { reader, redisTable, saved, startedTable } from '../support/redis/table.js';
import { FakePlane, snapshot } from './fake-plane.js';

const OFFSETS = { consumedFromPeer: 0, injectedToCore: 0, consumedFromCore: 0, injectedToPeer: 0 };

function controlOn(
  table: FlowTable,
  clock: Clock = systemClock,
): { readonly control: Control; readonly plane: FakePlane } {
  const plane = new FakePlane();
  const control = new Control({
    plane,
    table,
    clock,
    log: silentLog(),
    drainLimit: 100,
    agentOf: () => 'a1',
  });
  return { control, plane };
}

async function pair(control: Control, id: string): Promise<void> {
  const { outer, inner } = flowRecord(id);
  await control.pair({ id, outer, inner, shell: 'a1', core: 'b1', openedBy: 'peer' });
}

/** A table on a Redis that is then killed. */
async function withoutRedis(t: Test, durability: 'strict' | 'relaxed') {
  const server = await RedisServer.start(t);
  const table = await startedTable(t, server.target, { durability });
  const parts = controlOn(table);
  await pair(parts.control, '1');
  await saved(table);
  await server.kill();
  await until(
    () => table.status().state === 'down',
    () => 'the loss was not noticed',
  );
  return { ...parts, table, server };
}

t.test('a flow is enabled only when its record says so in Redis', async (t) => {
  const { target } = await RedisServer.start(t);
  const table = await startedTable(t, target);
  const { control, plane } = controlOn(table);
  const outside = await reader(t, target);
  await pair(control, '1');
  const before = Date.now();
  plane.beforeEnable = async (id) => {
    const record = await outside.get(id);
    t.equal(record?.state, 'relayed');
    t.ok((record?.enabledAt ?? 0) >= before, 'written before the data path is asked');
  };
  await control.enable('1', OFFSETS, 'core');
  await saved(table);
  t.match(await outside.get('1'), { state: 'stitched', enabledAt: Number });
  t.strictSame(plane.enabled, ['1']);
});

t.test('strict, and Redis is gone: nothing new is stitched, all else goes on', async (t) => {
  const { control, plane, table, server } = await withoutRedis(t, 'strict');
  await t.rejects(control.enable('1', OFFSETS, 'core'), {
    code: 'SUT_TABLE_UNAVAILABLE',
    message: /down \(unreachable\)/,
  });
  t.strictSame(plane.enabled, [], 'the data path was not asked');
  t.equal((await control.flow('1'))?.state, 'relayed');
  await pair(control, '2');
  const events: string[] = [];
  control.onEvent(({ flow }) => events.push(`${flow.id} ${flow.state}`));
  plane.change('2', 'refused', 'tcp-ao');
  await until(
    () => events.length === 1,
    () => 'events wait for Redis',
  );
  t.match(await control.flows({}), [{ id: '1' }, { id: '2', state: 'refused', reason: 'tcp-ao' }]);
  t.equal(table.status().counters.queued, 2, 'what changed waits');

  await server.start();
  await saved(table);
  await control.enable('1', OFFSETS, 'core');
  await saved(table);
  const outside = await reader(t, server.target);
  t.match(await outside.list(), [
    { id: '1', state: 'stitched' },
    { id: '2', state: 'refused', reason: 'tcp-ao' },
  ]);
});

t.test('relaxed, and Redis is gone: flows are stitched, and written when it is back', async (t) => {
  const { control, plane, table, server } = await withoutRedis(t, 'relaxed');
  await control.enable('1', OFFSETS, 'core');
  t.strictSame(plane.enabled, ['1']);
  await server.start();
  await saved(table);
  t.match(await (await reader(t, server.target)).list(), [{ id: '1', state: 'stitched', enabledAt: Number }]);
});

t.test('a start: flows of the run before have ended, and those that the data path has go on', async (t) => {
  const { target } = await RedisServer.start(t);
  const first = redisTable(target);
  await first.start();
  await first.put(flowRecord('relayed', { openedAt: 1 }));
  await first.put(flowRecord('stitched', { openedAt: 2, state: 'stitched' }));
  await first.put(flowRecord('adopted', { openedAt: 3, state: 'stitched', enabledAt: 7 }));
  await first.put(flowRecord('ended', { openedAt: 4, state: 'closed', reason: 'fin', closedAt: 5 }));
  await first.stop();

  const table = await startedTable(t, target);
  const { control, plane } = controlOn(table);
  plane.flows.set('adopted', snapshot('adopted', 'stitched'));
  await control.adopt();
  await saved(table);
  const outside = await reader(t, target);
  t.match(await outside.list(), [
    { id: 'relayed', state: 'closed', reason: 'released' },
    { id: 'stitched', state: 'closed', reason: 'switch-lost', closedAt: Number },
    { id: 'adopted', state: 'stitched', enabledAt: 7 },
    { id: 'ended', state: 'closed', reason: 'fin', closedAt: 5 },
  ]);
  plane.change('adopted', 'closed', 'fin');
  await saved(table);
  t.match(
    await outside.get('adopted'),
    { state: 'closed', reason: 'fin', agent: 'a1' },
    'and is known as before',
  );
});

t.test('a flow that ends while it is adopted has ended, for its agents too', async (t) => {
  const table = new MemoryTable();
  await table.put(flowRecord('1', { state: 'stitched', enabledAt: 7 }));
  await table.put(flowRecord('2', { state: 'stitched', enabledAt: 7 }));
  const { control, plane } = controlOn(table);
  for (const id of ['1', '2']) plane.flows.set(id, snapshot(id, 'stitched'));
  const drop = plane.drop.bind(plane);
  plane.drop = async (ids) => {
    plane.change('1', 'closed', 'fin');
    return drop(ids);
  };
  let isIntroduced = false;
  const heard: string[] = [];
  control.onEvent(({ flow }) => heard.push(`${flow.id} ${flow.state} ${isIntroduced}`));
  await control.adopt(async (open) => {
    plane.change('2', 'closed', 'reset-by-peer');
    t.strictSame(
      open.map(({ id, state }) => [id, state]),
      [
        ['1', 'stitched'],
        ['2', 'stitched'],
      ],
    );
    isIntroduced = true;
  });
  await plane.forward();
  t.match(await control.flow('1'), { state: 'closed', reason: 'fin', closedAt: Number });
  t.match(await control.flow('2'), { state: 'closed', reason: 'reset-by-peer', closedAt: Number });
  t.strictSame(heard, ['1 closed true', '2 closed true']);
});

t.test('a start: what happens to a flow while agents are told of it is not missed', async (t) => {
  const { control, plane } = controlOn(new MemoryTable());
  const { outer, inner } = flowRecord('1');
  for (const id of ['1', '2'])
    plane.flows.set(id, {
      ...snapshot(id, 'cutting'),
      ends: { outer, inner: { ...inner, remote: outer.local } },
    });
  const told: string[] = [];
  control.onEvent(({ flow }) => told.push(`${flow.id} ${flow.state}`));
  await control.adopt(async (flows) => {
    t.strictSame(
      flows.map(({ id }) => id),
      ['1', '2'],
    );
    plane.change('1', 'stitched');
    plane.change('2', 'closed', 'fin');
    plane.flows.delete('2');
    await new Promise(setImmediate);
    t.strictSame(told, [], 'nobody knows the flows yet');
  });
  await until(
    () => told.length === 2,
    () => `told: ${told}`,
  );
  t.strictSame(told, ['1 stitched', '2 closed']);
  t.match(await control.flows({}), [{ state: 'stitched' }, { state: 'closed', closedAt: Number }]);
});

t.test('a table in memory holds nothing up', async (t) => {
  const { control, plane } = controlOn(new MemoryTable());
  await pair(control, '1');
  await control.enable('1', OFFSETS, 'core');
  t.strictSame(plane.enabled, ['1']);
  t.match(await control.flow('1'), { state: 'stitched', enabledAt: Number });
  await t.rejects(control.enable('2', OFFSETS, 'core'), { code: 'SUT_FLOW_UNKNOWN' });
});

t.test('a flow that is being paired while old ones are forgotten is followed all the same', async (t) => {
  const clock = new FakeClock();
  const [plane, table] = [new FakePlane(), new MemoryTable()];
  const log = silentLog();
  const control = new Control({ plane, table, clock, log, drainLimit: 100, agentOf: () => 'a1' });
  await control.start();
  t.teardown(() => control.stop());
  let answer = (): void => {};
  plane.beforePair = () => new Promise((resolve) => (answer = resolve));
  const pairing = pair(control, '1');
  for (let i = 0; i < 60; i++) await clock.advance(1000);
  answer();
  await pairing;
  plane.change('1', 'closed', 'released');
  t.match(await table.get('1'), { state: 'closed' });
});
