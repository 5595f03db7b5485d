/**
 * A program of its own, run in the switch's host: writes flows to the Redis there in the switch's name, through the
 * switch's own table, and says in one JSON line how long that took and what Redis needs for them.
 *
 *   table-fill FLOWS RUNS NAME
 */
import { Redis } from 'ioredis';
import { systemClock } from '#suture/platform/clock.js';
import { silentLog } from '#suture/platform/log.js';
import { keysOf } from '#suture/table/redis/keys.js';
import { RedisTable } from '#suture/table/redis/table.js';
import { tableFlow, tableFlowId } from './table-flows.js';

const HOST = '127.0.0.1';
const PORT = 6379;
const GROUP = 'default';
const SECURED = 2_000;

/** Seconds and microseconds, run by run. */
export interface FillReport {
  readonly flows: number;
  /** All flows anew; and all of them once more, with other counters. */
  readonly write: readonly number[];
  readonly change: readonly number[];
  /** From a change to its confirmation, one at a time. */
  readonly secureMicros: readonly number[];
  readonly bytes: {
    /** What the server's memory grew by, for each flow. */
    readonly used: number;
    readonly record: number;
    readonly inSet: number;
  };
}

const [count = '', runs = '', name = ''] = process.argv.slice(2);
const flows = Number(count);
const client = new Redis({ host: HOST, port: PORT });

function newTable(): RedisTable {
  return new RedisTable({
    target: { kind: 'server', nodes: [{ address: HOST, port: PORT }], db: 0, tls: false },
    group: GROUP,
    name,
    durability: 'strict',
    timeoutMs: 5_000,
    leaseMs: 10_000,
    queue: 10 * flows,
    events: 10_000,
    clock: systemClock,
    log: silentLog(),
  });
}

async function usedMemory(): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await client.info('memory'))?.[1]);
}

async function writeAll(table: RedisTable, turn: number): Promise<number> {
  const records = Array.from({ length: flows }, (_, i) => tableFlow(i, systemClock.wall(), turn));
  const began = systemClock.monotonic();
  for (const record of records) await table.put(record);
  while (table.status().state !== 'up' || table.status().counters.queued !== 0) await systemClock.sleep(1);
  return (systemClock.monotonic() - began) / 1000;
}

async function secureMicros(table: RedisTable): Promise<number[]> {
  const waits: number[] = [];
  for (let i = 0; i < SECURED; i++) {
    const record = tableFlow(i % flows, systemClock.wall());
    const began = systemClock.monotonic();
    await table.put(record);
    await table.secure(record.id);
    waits.push(Math.round((systemClock.monotonic() - began) * 1000));
  }
  return waits;
}

const write: number[] = [];
const change: number[] = [];
let waits: number[] = [];
let used = 0;
for (let run = 0; run < Number(runs); run++) {
  await client.flushall();
  const before = await usedMemory();
  const table = newTable();
  await table.start();
  write.push(await writeAll(table, 0));
  used = ((await usedMemory()) - before) / flows;
  change.push(await writeAll(table, 1));
  waits = await secureMicros(table);
  await table.stop();
}
const keys = keysOf(GROUP);
const record = Number(await client.memory('USAGE', keys.flow(tableFlowId(1))));
const set = Number(await client.memory('USAGE', keys.flows, 'SAMPLES', 0));
const report: FillReport = {
  flows,
  write,
  change,
  secureMicros: waits,
  bytes: { used, record, inSet: set / flows },
};
process.stdout.write(`${JSON.stringify(report)}\n`);
client.disconnect();
