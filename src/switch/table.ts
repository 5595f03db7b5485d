/** The flow table that a switch's config asks for. */
import { networkInterfaces } from 'node:os';
import type { Clock } from '../platform/clock.js';
import type { SwitchConfig } from '../platform/config/index.js';
import type { Logger } from '../platform/log.js';
import { MemoryTable } from '../table/memory.js';
import type { FlowTable } from '../table/port.js';
import { RedisTable } from '../table/redis/table.js';
import { whereabouts } from './whereabouts.js';

export function tableFor(config: SwitchConfig, clock: Clock, log: Logger): FlowTable {
  const limits = { keepClosedMs: config.timers.lingerClosed };
  const { table, group, durability, name, redis } = config;
  if (table === 'memory') return new MemoryTable(limits);
  const { user = table.user, password = table.password } = redis;
  return new RedisTable({
    target: { ...table, ...(user !== undefined && { user }), ...(password !== undefined && { password }) },
    ca: redis.ca,
    group,
    name,
    durability,
    timeoutMs: redis.timeout,
    leaseMs: redis.lease,
    queue: redis.queue,
    events: redis.events,
    standby: config.standby,
    links: config.scaleOut ? whereabouts(config.interfaces, networkInterfaces()) : '',
    limits,
    clock,
    log,
  });
}
