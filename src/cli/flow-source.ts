/** Where `suture flows` reads: a running switch, or with `--table` the flow table in a Redis, with no switch at all. */
import type { Command } from 'commander';
import { hideCredentials, isName, Mismatch, NAME_FORM, parseRedisUrl } from '../platform/config/index.js';
import { SutureError } from '../platform/errors.js';
import {
  type FlowDetail,
  type FlowView,
  flowDetail,
  flowView,
  unknownFlow,
} from '../switch/admin-protocol.js';
import type { FlowFilter } from '../table/port.js';
import { type AdminOptions, adminClient, adminOptions } from './admin-options.js';
import type { CliContext } from './context.js';

const TIMEOUT_MS = 5_000;

export interface TableOptions extends AdminOptions {
  readonly table?: string;
  readonly group?: string;
  readonly ca?: string;
}

export interface FlowSource {
  flows(filter: FlowFilter): Promise<FlowView[]>;
  flow(id: string): Promise<FlowDetail>;
}

export function tableOptions(command: Command): Command {
  return adminOptions(command)
    .option('--table <url>', 'read the table in this Redis, and ask no switch')
    .option('--group <name>', 'with --table: the group of the switch (default: default)')
    .option('--ca <file>', 'with --table: certificate authorities of the Redis, PEM');
}

export async function withFlows<T>(
  options: TableOptions,
  context: CliContext,
  read: (source: FlowSource) => Promise<T>,
): Promise<T> {
  const { table, ca, admin, group = 'default' } = options;
  if (table === undefined) {
    if (options.group !== undefined || ca !== undefined) {
      throw new SutureError('SUT_USAGE', '--group and --ca go with --table; a running switch knows its own');
    }
    return read(await adminClient(options, context));
  }
  if (admin !== undefined) {
    throw new SutureError('SUT_USAGE', 'found --admin and --table, expected one of them');
  }
  if (!isName(group)) {
    throw new SutureError('SUT_USAGE', `--group: found ${JSON.stringify(group)}, expected ${NAME_FORM}`);
  }
  const target = parseRedisUrl(table);
  if (target instanceof Mismatch) {
    const found = JSON.stringify(hideCredentials(table));
    throw new SutureError('SUT_USAGE', `--table: found ${found}, expected ${target.expected}`);
  }
  const { RedisReader } = await import('../table/redis/reader.js');
  const reader = await RedisReader.open({
    target,
    group,
    ca,
    timeoutMs: TIMEOUT_MS,
    name: 'suture:flows',
    clock: context.clock,
  });
  try {
    return await read({
      flows: async (filter) => (await reader.list(filter)).map(flowView),
      flow: async (id) => {
        const record = await reader.get(id);
        if (!record) throw unknownFlow(id);
        return flowDetail(record);
      },
    });
  } finally {
    reader.close();
  }
}
