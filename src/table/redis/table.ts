/**
 * The flow table in Redis. What is asked is answered from memory, so the switch goes on when Redis does not; what
 * is put is written behind it (`writer.ts`), and `secure` waits for that where it has to.
 *
 * One switch of a group is active: it holds the lease, and only it writes.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../platform/clock.js';
import { type RedisTarget, redisName } from '../../platform/config/index.js';
import type { Logger } from '../../platform/log.js';
import { DEFAULT_LIMITS, MemoryTable } from '../memory.js';
import type { FlowFilter, FlowRecord, FlowTable, TableLimits, TableStatus } from '../port.js';
import { Backlog } from './backlog.js';
import { faultOf, TableFault } from './faults.js';
import type { OnFollowed } from './follower.js';
import { Health } from './health.js';
import { Writer } from './writer.js';

export interface RedisTableOptions {
  readonly target: RedisTarget;
  /** A PEM file of certificate authorities; without one those of the system. */
  readonly ca?: string | undefined;
  readonly group: string;
  /** Name of the switch. */
  readonly name: string;
  /**
   * `strict`: `secure` waits until the record is written. `relaxed`: it does not, and asks only that no other
   * switch has become the active one.
   */
  readonly durability: 'strict' | 'relaxed';
  /** How long one command may take. */
  readonly timeoutMs: number;
  /** How long this switch is the active one without saying so again. */
  readonly leaseMs: number;
  /** Most changes that are kept while they can't be written. */
  readonly queue: number;
  /** Most events that the stream keeps. */
  readonly events: number;
  /** One of several switches of its group: without the lease it follows the one that has it. */
  readonly standby?: boolean;
  /** Where this switch can be reached, for the others of its group: src/switch/whereabouts.ts. */
  readonly links?: string;
  readonly limits?: Partial<TableLimits>;
  readonly clock: Clock;
  readonly log: Logger;
}

export class RedisTable implements FlowTable {
  private readonly memory: MemoryTable;
  private readonly backlog: Backlog;
  private readonly health: Health;
  private readonly writer: Writer;
  private readonly where: string;

  constructor(private readonly options: RedisTableOptions) {
    const { target, name, queue, limits: given, log, links = '', ...rest } = options;
    const limits = { ...DEFAULT_LIMITS, ...given };
    const where = redisName(target);
    this.where = where;
    this.backlog = new Backlog(queue);
    this.memory = new MemoryTable(limits, (id) => this.backlog.forget(id));
    this.health = new Health(log, where, () => this.backlog.size);
    const { memory, backlog, health } = this;
    const token = randomBytes(8).toString('hex');
    const { keepClosedMs } = limits;
    const session = { ...rest, target, name: `suture:${name}`, holder: name, token, keepClosedMs, links };
    const { clock, standby = false } = options;
    const onFollowed = (): OnFollowed => this.onFollowed;
    const onLeader = (text: string): Promise<void> => this.onLeader(text);
    const parts = { session, where, memory, backlog, health, clock, log, standby, onFollowed, onLeader };
    this.writer = new Writer(parts);
  }

  /** Told of each change that the active switch made, while this one follows it. */
  onFollowed: OnFollowed = async () => {};

  /** Told the links of the active switch, while this one follows it. */
  onLeader: (links: string) => Promise<void> = async () => {};

  /** A flow may be in the group's table that this switch does not have yet. */
  look(): void {
    this.writer.look();
  }

  get isLeader(): boolean {
    return this.writer.isLeader;
  }

  /** Resolves when this switch is the active one of its group. */
  get leading(): Promise<void> {
    return this.writer.leading.promise;
  }

  /** Resolves when another switch has taken its place. */
  get deposed(): Promise<void> {
    return this.writer.deposed.promise;
  }

  /** After `stop`: whether another switch takes this one's place soon. */
  hasSuccessor(): Promise<boolean> {
    return this.writer.hasSuccessor(2 * this.options.leaseMs);
  }

  promote(): void {
    this.writer.promote();
  }

  start(): Promise<void> {
    return this.writer.start();
  }

  giveUp(): void {
    this.writer.giveUp();
  }

  put(record: FlowRecord): Promise<void> {
    const done = this.memory.put(record);
    this.backlog.change(record.id);
    return done;
  }

  async secure(id: string): Promise<void> {
    const { health, options } = this;
    const isWriting = health.state === 'up' || health.reason === 'rewriting';
    if (options.durability === 'relaxed') {
      if (health.reason === 'lease') throw new TableFault('lease', health.complaint).asError(this.where);
      return this.checkLease();
    }
    if (!isWriting) {
      const kind = health.reason === 'lease' ? 'lease' : 'unreachable';
      throw new TableFault(kind, health.complaint).asError(this.where);
    }
    try {
      await this.backlog.written(id);
    } catch (error) {
      throw faultOf(error).asError(this.where);
    }
    // The answer may have been under way for longer than the lease.
    this.checkLease();
  }

  /** Another switch of the group may be active as soon as the lease is over; a switch alone goes on without. */
  private checkLease(): void {
    if (!this.options.standby || this.writer.holdsLease) return;
    throw new TableFault('lease', 'the lease has run out').asError(this.where);
  }

  get(id: string): Promise<FlowRecord | undefined> {
    return this.memory.get(id);
  }

  list(filter: FlowFilter = {}): Promise<FlowRecord[]> {
    return this.memory.list(filter);
  }

  records(): Iterable<FlowRecord> {
    return this.memory.records();
  }

  delete(id: string): Promise<boolean> {
    return this.memory.delete(id);
  }

  expire(now: number): Promise<string[]> {
    return this.memory.expire(now);
  }

  status(): TableStatus {
    const { state, reason } = this.health;
    return {
      kind: 'redis',
      state,
      ...(reason !== undefined && { reason }),
      counters: {
        flows: this.memory.size,
        queued: this.backlog.size,
        dropped: this.backlog.dropped,
        ...this.writer.counters,
        ...this.writer.follower.counters,
      },
    };
  }

  stop(signal?: AbortSignal): Promise<void> {
    return this.writer.stop(signal);
  }
}
