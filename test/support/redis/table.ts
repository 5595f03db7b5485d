/** Tables on a Redis of a test, and what is in that Redis for another program. */
import { type DestinationStream, pino } from 'pino';
import type { Test } from 'tap';
import { systemClock } from '../../../src/platform/clock.js';
import type { RedisTarget } from '../../../src/platform/config/index.js';
import { silentLog } from '../../../src/platform/log.js';
import type { FlowFilter, FlowRecord, FlowTable, TableStatus } from '../../../src/table/port.js';
import { RedisReader } from '../../../src/table/redis/reader.js';
import { RedisTable, type RedisTableOptions } from '../../../src/table/redis/table.js';
import { until } from './server.js';

/** For a machine that is busy with other things. */
const TIMEOUT_MS = 2_000;
/** What a clock must not skip: of one command, and of connecting. */
export const LIMITS = [TIMEOUT_MS, 2 * TIMEOUT_MS];

export type TableSetting = Partial<Omit<RedisTableOptions, 'target'>>;

export function redisTable(target: RedisTarget, setting: TableSetting = {}): RedisTable {
  return new RedisTable({
    target,
    group: 'g',
    name: 's1',
    durability: 'strict',
    timeoutMs: TIMEOUT_MS,
    leaseMs: 1_500,
    queue: 10_000,
    events: 1_000,
    clock: systemClock,
    log: silentLog(),
    ...setting,
  });
}

/** Started, and stopped at the end of the test. */
export async function startedTable(
  t: Test,
  target: RedisTarget,
  setting?: TableSetting,
): Promise<RedisTable> {
  const table = redisTable(target, setting);
  await table.start();
  t.teardown(() => table.stop(AbortSignal.abort()));
  return table;
}

export async function reader(t: Test, target: RedisTarget, group = 'g'): Promise<RedisReader> {
  const opened = await RedisReader.open({
    target,
    group,
    timeoutMs: 5_000,
    name: 'test',
    clock: systemClock,
  });
  t.teardown(() => opened.close());
  return opened;
}

/** Resolves when all that was put is in Redis. */
export function saved(table: RedisTable): Promise<void> {
  return until(
    () => table.status().state === 'up' && table.status().counters.queued === 0,
    () => `not saved: ${JSON.stringify(table.status())}`,
  );
}

/** A table that is written as a switch writes it, and read as another program reads it. */
export class SeenFromOutside implements FlowTable {
  private reader: RedisReader | undefined;

  constructor(
    private readonly table: RedisTable,
    private readonly target: RedisTarget,
    private readonly group: string,
  ) {}

  async start(): Promise<void> {
    const { target, group } = this;
    await this.table.start();
    this.reader = await RedisReader.open({
      target,
      group,
      timeoutMs: 5_000,
      name: 'test',
      clock: systemClock,
    });
  }

  async get(id: string): Promise<FlowRecord | undefined> {
    await saved(this.table);
    return this.reader?.get(id);
  }

  async list(filter?: FlowFilter): Promise<FlowRecord[]> {
    await saved(this.table);
    return (await this.reader?.list(filter)) ?? [];
  }

  records(): Iterable<FlowRecord> {
    return this.table.records();
  }

  put(record: FlowRecord): Promise<void> {
    return this.table.put(record);
  }

  secure(id: string): Promise<void> {
    return this.table.secure(id);
  }

  delete(id: string): Promise<boolean> {
    return this.table.delete(id);
  }

  expire(now: number): Promise<string[]> {
    return this.table.expire(now);
  }

  status(): TableStatus {
    return this.table.status();
  }

  async stop(): Promise<void> {
    this.reader?.close();
    await this.table.stop();
  }
}

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly state?: string;
  readonly reason?: string;
}

/** A log whose lines are kept. */
export function keptLog(): { readonly log: ReturnType<typeof silentLog>; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const stream: DestinationStream = { write: (text) => void lines.push(JSON.parse(text)) };
  const options = { level: 'info', formatters: { level: (label: string) => ({ level: label }) } };
  return { log: pino(options, stream), lines };
}
