/** What every flow table does. Called with a factory for each implementation. */
import type { Test } from 'tap';
import type { FlowRecord, FlowTable, TableLimits } from '../../src/table/port.js';

export type TableFactory = (limits: TableLimits) => Promise<FlowTable>;

export function flowRecord(id: string, change: Partial<FlowRecord> = {}): FlowRecord {
  return {
    id,
    state: 'relayed',
    agent: 'a1',
    outer: { local: { address: '10.201.2.2', port: 8080 }, remote: { address: '10.201.1.2', port: 40000 } },
    inner: { local: { address: '10.201.2.2', port: 20000 }, remote: { address: '10.201.3.2', port: 8080 } },
    up: { packets: 3, bytes: 100 },
    down: { packets: 4, bytes: 2 ** 40 },
    toShellStitched: { packets: 0, bytes: 0 },
    openedAt: 1_000,
    history: [{ state: 'relayed', at: 1_000 }],
    ...change,
  };
}

const ids = (records: readonly { id: string }[]): string[] => records.map(({ id }) => id);

export function tableContract(t: Test, factory: TableFactory): void {
  const open = async (t: Test, limits: Partial<TableLimits> = {}): Promise<FlowTable> => {
    const table = await factory({ keepClosedMs: 1_000, maxClosed: 100, ...limits });
    await table.start();
    t.teardown(() => table.stop());
    return table;
  };
  const closed = (id: string, closedAt: number): FlowRecord =>
    flowRecord(id, { state: 'closed', reason: 'fin', closedAt });

  t.test('a record comes back as it was put', async (t) => {
    const table = await open(t);
    const full = flowRecord('1', {
      state: 'closed',
      reason: 'reset-by-peer',
      enabledAt: 1_500,
      stitchedAt: 2_000,
      closedAt: 3_000,
      openedBy: 'core',
      stitchCause: ['bytes', 'timeOfDay'],
      teardown: 'control',
      history: [
        { state: 'watched', at: 990 },
        { state: 'relayed', at: 1_000 },
        { state: 'stitched', at: 2_000 },
        { state: 'closed', at: 3_000 },
      ],
      outer: { local: { address: 'fd00::2', port: 1 }, remote: { address: 'fd00::1', port: 65535 } },
    });
    await table.put(full);
    await table.put(flowRecord('2'));
    t.strictSame(await table.get('1'), full);
    t.strictSame(await table.get('2'), flowRecord('2'));
    t.equal(await table.get('3'), undefined);
  });

  t.test('putting an id again replaces the record', async (t) => {
    const table = await open(t);
    await table.put(flowRecord('1', { state: 'refused', reason: 'tcp-ao' }));
    await table.put(flowRecord('1', { state: 'stitched' }));
    t.strictSame(await table.list(), [flowRecord('1', { state: 'stitched' })]);
  });

  t.test('what was put can be made secure', async (t) => {
    const table = await open(t);
    await table.put(flowRecord('1'));
    await table.secure('1');
    t.strictSame(await table.get('1'), flowRecord('1'));
    const { state, counters } = table.status();
    t.equal(state, 'up');
    t.equal(counters.flows, 1);
  });

  t.test('records are held by value', async (t) => {
    const table = await open(t);
    const up = { packets: 1, bytes: 1 };
    await table.put(flowRecord('1', { up }));
    up.bytes = 99;
    const got = await table.get('1');
    t.equal(got?.up.bytes, 1);
    Object.assign(got?.up ?? {}, { bytes: 77 });
    t.equal((await table.list())[0]?.up.bytes, 1);
  });

  t.test('the list is in the order of opening, and filtered', async (t) => {
    const table = await open(t);
    await table.put(flowRecord('late', { openedAt: 30, agent: 'a2' }));
    await table.put(flowRecord('early', { openedAt: 10, state: 'stitched' }));
    await table.put(flowRecord('middle', { openedAt: 20, state: 'stitched', agent: 'a2' }));
    t.strictSame(ids(await table.list()), ['early', 'middle', 'late']);
    t.strictSame(ids(await table.list({ state: 'stitched' })), ['early', 'middle']);
    t.strictSame(ids(await table.list({ agent: 'a2' })), ['middle', 'late']);
    t.strictSame(ids(await table.list({ agent: 'a2', state: 'stitched' })), ['middle']);
    t.strictSame(await table.list({ agent: 'a3' }), []);
  });

  t.test('delete', async (t) => {
    const table = await open(t);
    await table.put(closed('1', 5));
    t.equal(await table.delete('1'), true);
    t.equal(await table.delete('1'), false);
    t.strictSame(await table.expire(1_000_000), []);
  });

  t.test('only flows that ended long enough ago expire', async (t) => {
    const table = await open(t);
    await table.put(flowRecord('running', { openedAt: 1 }));
    await table.put(closed('old', 5_000));
    await table.put(closed('young', 5_001));
    t.strictSame(await table.expire(5_999), []);
    t.strictSame(await table.expire(6_000), ['old']);
    t.strictSame(ids(await table.list()), ['running', 'young']);
    t.strictSame(await table.expire(1_000_000), ['young']);
    t.strictSame(ids(await table.list()), ['running']);
  });

  t.test('of too many ended flows the first to end goes first', async (t) => {
    const table = await open(t, { maxClosed: 2 });
    for (const id of ['1', '2', '3', '4']) await table.put(flowRecord(id, { openedAt: Number(id) }));
    await table.put(closed('3', 10));
    await table.put(closed('1', 20));
    await table.put(closed('1', 20));
    t.equal((await table.list()).length, 4);
    await table.put(closed('2', 30));
    t.equal(await table.get('3'), undefined);
    t.strictSame(ids(await table.list()).sort(), ['1', '2', '4']);
  });
}
