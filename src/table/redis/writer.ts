/**
 * Keeps Redis like the table in memory: connects, holds the lease, writes what changes in batches, and starts again
 * when something goes wrong, after waits that double up to a few seconds.
 *
 * What always holds: one command is under way at a time; a batch whose fate is not known is given back and written
 * again; after the lease was away, or a server lost what it had confirmed, all flows are written again.
 */
import type { Clock } from '../../platform/clock.js';
import { deferred } from '../../platform/deferred.js';
import type { Logger } from '../../platform/log.js';
import { lostFlow } from '../lost.js';
import type { MemoryTable } from '../memory.js';
import type { Backlog, Batch } from './backlog.js';
import { type FaultKind, faultOf, type TableFault } from './faults.js';
import { Follower, type OnFollowed } from './follower.js';
import type { Health } from './health.js';
import { loadRecords, readIds } from './reader.js';
import type { TakeHow } from './scripts.js';
import { type Leader, type LeaseMemory, Session, type SessionOptions, type Taken } from './session.js';

/** Flows in one command: some ten milliseconds of a server that does nothing else meanwhile. */
const BATCH = 256;
const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 5_000;
/**
 * How often the lease is prolonged while it lasts. It bears a pause of all but the last of these parts, and a switch that
 * is gone is missed after at least as long: the more often, the closer these two are together.
 */
const PROLONGED_IN_A_LEASE = 5;
/** How long a start tries to reach Redis, and beyond the end of someone else's lease. */
const START_MS = 10_000;
const LEASE_MARGIN_MS = 1_000;
/** How long a stop tries to write what is left. */
const STOP_MS = 2_000;
/** How often a standby looks for changes, and for the end of the lease; and its longest wait without Redis. */
const FOLLOW_MS = 40;
const MAX_FOLLOW_WAIT_MS = 500;
/** A miss makes a standby look sooner, but not sooner than this after the last time. */
const LOOK_GAP_MS = 10;

/** No use trying again by itself, when it is so from the start. */
const LASTING: ReadonlySet<FaultKind> = new Set(['not-allowed', 'layout', 'error']);

export interface WriterParts {
  readonly session: SessionOptions;
  readonly where: string;
  readonly memory: MemoryTable;
  readonly backlog: Backlog;
  readonly health: Health;
  readonly clock: Clock;
  readonly log: Logger;
  /** It waits for the lease as long as it takes, and follows meanwhile; and it gives way to another one. */
  readonly standby: boolean;
  readonly onFollowed: () => OnFollowed;
  /** Who leads has changed; waited for. */
  readonly onLeader: (links: string) => Promise<void>;
}

export class Writer {
  readonly counters = { saved: 0, removed: 0, failures: 0, connections: 0, rewrites: 0 };
  private readonly lease: LeaseMemory = { number: '', serial: 0, confirmed: 0 };
  private readonly stopping = new AbortController();
  private readonly aborted = new AbortController();
  readonly follower: Follower;
  /** Resolves when this switch has the lease and all flows; and when another one has taken it from there. */
  readonly leading = deferred();
  readonly deposed = deferred();
  isLeader = false;
  private forced = false;
  private leaseUntil = 0;
  private prolongAt = 0;
  private leader: Leader | undefined;
  private isMissed = false;
  private resting: AbortController | undefined;
  private session: Session | undefined;
  private running: Promise<boolean> = Promise.resolve(false);
  /** All has to be compared and written again; of whom is what Redis has and this table does not. */
  private compareWith: 'others' | 'ourselves' | undefined;

  constructor(private readonly parts: WriterParts) {
    this.follower = new Follower(parts.memory, () => parts.onFollowed());
  }

  /** Gets the lease and loads all records. Rejects with a `SutureError`. */
  async start(): Promise<void> {
    const { clock, where, session, health } = this.parts;
    const began = clock.monotonic();
    for (let wait = FIRST_WAIT_MS; ; wait = longer(wait)) {
      try {
        this.session ??= await this.connect();
        await this.hold(this.session, 'same-name');
        await this.load(this.session);
        // That may have taken longer than the lease lasts, and somebody else may have it now.
        await this.hold(this.session, 'same-name');
        break;
      } catch (thrown) {
        const fault = faultOf(thrown);
        if (fault.kind === 'lease' && this.parts.standby && this.session) {
          await this.noteLeader(this.session);
          await this.follower.snapshot(this.session.link, this.session.keys);
          health.become('up', 'standby', fault.message);
          this.running = this.follow();
          return;
        }
        const limit = fault.kind === 'lease' ? session.leaseMs + LEASE_MARGIN_MS : START_MS;
        if (LASTING.has(fault.kind) || clock.monotonic() - began > limit) {
          this.drop();
          throw fault.asError(where);
        }
        this.trouble(fault);
        await clock.sleep(wait);
      }
    }
    this.lead();
    this.running = this.run();
  }

  /** It holds the lease, as far as it can know without asking. */
  get holdsLease(): boolean {
    return this.isLeader && this.parts.clock.monotonic() < this.leaseUntil;
  }

  /** The lease counts from before it was asked for: the answer may have been long under way. */
  private async hold(session: Session, how: TakeHow): Promise<Taken> {
    const { leaseMs } = this.parts.session;
    const asked = this.parts.clock.monotonic();
    const taken = await session.take(how);
    this.leaseUntil = asked + leaseMs;
    this.prolongAt = asked + leaseMs / PROLONGED_IN_A_LEASE;
    return taken;
  }

  /** After a stop: whether another switch takes the lease within `ms`. */
  async hasSuccessor(ms: number): Promise<boolean> {
    const { clock, session } = this.parts;
    const end = clock.monotonic() + ms;
    const other = await this.connect().catch(() => undefined);
    try {
      while (other && clock.monotonic() < end) {
        const { link, keys } = other;
        const token = await link.ask((client) => client.hget(keys.lease, 'token'));
        if (token && token !== session.token) return true;
        await clock.sleep(FOLLOW_MS);
      }
    } catch {
      // Nobody knows, so nobody is taken for granted.
    } finally {
      other?.link.close();
    }
    return false;
  }

  /** Takes the lease from whoever has it, as soon as that can be done. */
  promote(): void {
    this.forced = true;
  }

  /** Something may be in the table that this switch does not have yet: a standby looks soon. */
  look(): void {
    this.isMissed = true;
    this.resting?.abort();
  }

  private async noteLeader({ leader }: Session): Promise<void> {
    if (!leader || (leader.number === this.leader?.number && leader.links === this.leader.links)) return;
    this.leader = leader;
    await this.parts.onLeader(leader.links);
  }

  private lead(): void {
    this.isLeader = true;
    this.parts.health.up();
    this.leading.resolve();
  }

  /** Keeps a copy of what the active switch writes, until the lease can be had. */
  private async follow(): Promise<boolean> {
    const { clock, health } = this.parts;
    const { signal } = this.stopping;
    let [wait, takeAt] = [FIRST_WAIT_MS, 0];
    while (!signal.aborted) {
      try {
        const isNew = this.session === undefined;
        this.session ??= await this.connect();
        const { link, keys } = this.session;
        if (isNew) await this.follower.snapshot(link, keys);
        if (clock.monotonic() >= takeAt) {
          if (await this.takeIfFree(this.session)) {
            await this.follower.finish(link, keys);
            this.lead();
            return this.run();
          }
          takeAt = clock.monotonic() + FOLLOW_MS;
          await this.noteLeader(this.session);
        }
        health.become('up', 'standby', 'another switch is the active one');
        await this.follower.advance(link, keys);
        wait = FIRST_WAIT_MS;
        await this.rest(signal);
      } catch (thrown) {
        this.trouble(faultOf(thrown));
        this.drop();
        await clock.sleep(wait, signal).catch(() => {});
        wait = Math.min(2 * wait, MAX_FOLLOW_WAIT_MS);
      }
    }
    return false;
  }

  /** Until it is time to look again. */
  private async rest(signal: AbortSignal): Promise<void> {
    const { clock } = this.parts;
    await clock.sleep(LOOK_GAP_MS, signal).catch(() => {});
    if (!this.isMissed) {
      const resting = new AbortController();
      const stop = (): void => resting.abort();
      this.resting = resting;
      signal.addEventListener('abort', stop, { once: true });
      await clock.sleep(FOLLOW_MS - LOOK_GAP_MS, resting.signal).catch(() => {});
      signal.removeEventListener('abort', stop);
      this.resting = undefined;
    }
    if (this.isMissed) this.follower.counters.lookups += 1;
    this.isMissed = false;
  }

  private async takeIfFree(session: Session): Promise<boolean> {
    try {
      await this.hold(session, this.forced ? 'force' : 'same-name');
      return true;
    } catch (thrown) {
      const fault = faultOf(thrown);
      if (fault.kind === 'lease') return false;
      throw fault;
    }
  }

  /** Writes what is left, as far as that can be done soon, and gives the lease back. */
  async stop(signal?: AbortSignal): Promise<void> {
    const { backlog, clock, log, where } = this.parts;
    this.stopping.abort();
    const timer = new AbortController();
    const abort = (): void => timer.abort();
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
    const limit = clock.sleep(STOP_MS, timer.signal).catch(() => {});
    const isDrained = await Promise.race([this.running, limit.then(() => false)]);
    timer.abort();
    signal?.removeEventListener('abort', abort);
    if (isDrained) await this.session?.release().catch(() => {});
    this.aborted.abort();
    this.drop();
    await this.running;
    if (backlog.size > 0) log.warn({ table: where, queued: backlog.size }, 'not all flows were saved');
  }

  private async connect(): Promise<Session> {
    this.counters.connections += 1;
    return Session.open(this.parts.session, this.lease);
  }

  private async load(session: Session): Promise<void> {
    const { backlog, memory } = this.parts;
    const ids = await readIds(session.link, session.keys);
    const records = await loadRecords(session.link, session.keys, ids);
    const found = new Set(records.map(({ id }) => id));
    for (const id of ids) if (!found.has(id)) backlog.forget(id);
    const endOf = ({ closedAt = Number.POSITIVE_INFINITY }: { closedAt?: number }): number => closedAt;
    // In the order of their ends, so that of too many the oldest go.
    records.sort((a, b) => (endOf(a) < endOf(b) ? -1 : 1));
    memory.fill(records);
  }

  /** Resolves to whether all was written when it was told to stop. */
  private async run(): Promise<boolean> {
    const { clock } = this.parts;
    let wait = FIRST_WAIT_MS;
    const success = (): void => {
      wait = FIRST_WAIT_MS;
    };
    while (!this.aborted.signal.aborted) {
      try {
        this.session ??= await this.connect();
        await this.serve(this.session, success);
        return true;
      } catch (thrown) {
        const fault = faultOf(thrown);
        this.trouble(fault);
        if (fault.kind === 'lease' && this.parts.standby) {
          this.isLeader = false;
          this.deposed.resolve();
          return false;
        }
        if (fault.kind === 'out-of-memory') await this.makeRoom();
        // At random, so that switches that lost the same server don't come back at the same moment.
        await clock.sleep(wait * (0.5 + Math.random() / 2), this.aborted.signal).catch(() => {});
        wait = longer(wait);
      }
    }
    return false;
  }

  /** Until everything is written and the table is to stop; or rejects. */
  private async serve(session: Session, success: () => void): Promise<void> {
    const { backlog, clock, health } = this.parts;
    this.prolongAt = clock.monotonic();
    for (;;) {
      if (clock.monotonic() >= this.prolongAt && (await this.hold(session, 'free')) === 'taken') {
        this.compareWith = 'others';
      }
      if (this.compareWith !== undefined || backlog.overflowed) await this.compare(session);
      const batch = backlog.take(BATCH);
      if (batch) await this.write(session, batch);
      if (backlog.isRewriting) health.become('degraded', 'rewriting', 'all flows are being written again');
      else health.up();
      success();
      if (batch) continue;
      if (this.stopping.signal.aborted) return;
      await this.idle(session, this.prolongAt - clock.monotonic());
    }
  }

  private async write(session: Session, batch: Batch): Promise<void> {
    const { backlog, memory } = this.parts;
    const records = batch.changed.flatMap((id) => memory.peek(id) ?? []);
    try {
      await session.remove(batch.gone);
      await session.write(records, !batch.isRewrite);
    } catch (error) {
      backlog.giveBack(batch, faultOf(error));
      throw error;
    }
    backlog.done(batch);
    this.counters.saved += records.length;
    this.counters.removed += batch.gone.length;
  }

  /** What is gone is taken out, even where nothing can be added. */
  private async makeRoom(): Promise<void> {
    const { backlog } = this.parts;
    for (let ids = backlog.takeGone(BATCH); ids.length > 0 && this.session; ids = backlog.takeGone(BATCH)) {
      try {
        await this.session.remove(ids);
        this.counters.removed += ids.length;
      } catch {
        for (const id of ids) backlog.forget(id);
        return;
      }
    }
  }

  /** Makes Redis hold what this table holds, whatever it holds now. */
  private async compare(session: Session): Promise<void> {
    const { backlog, clock, health, log, memory, where } = this.parts;
    health.become('degraded', 'rewriting', 'all flows are being written again');
    const { link, keys } = session;
    const ids = await readIds(link, keys);
    const strange = ids.filter((id) => memory.peek(id) === undefined && !backlog.isForgotten(id));
    if (this.compareWith === 'others') {
      // Another switch was active meanwhile, and is gone.
      const records = await loadRecords(link, keys, strange);
      for (const record of records) await memory.put(lostFlow(record, clock.wall()));
    } else {
      for (let from = 0; from < strange.length; from += BATCH) {
        await session.remove(strange.slice(from, from + BATCH));
      }
    }
    log.info({ table: where, flows: memory.size, strange: strange.length }, 'writing all flows again');
    this.counters.rewrites += 1;
    this.compareWith = undefined;
    backlog.rewrite([...memory.ids()]);
  }

  private async idle(session: Session, ms: number): Promise<void> {
    const { backlog, clock } = this.parts;
    const timer = new AbortController();
    const stop = (): void => timer.abort();
    // Listeners that go again: a promise that stays for long keeps all that ever waited for it.
    const signals = [this.stopping.signal, session.link.gone];
    for (const signal of signals) signal.addEventListener('abort', stop, { once: true });
    if (session.link.gone.aborted) stop();
    const sleeping = clock.sleep(Math.max(0, ms), timer.signal).catch(() => {});
    await Promise.race([backlog.filled(timer.signal), sleeping]);
    timer.abort();
    for (const signal of signals) signal.removeEventListener('abort', stop);
    session.link.check();
    // What is put in the same turn of the event loop is written together.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  private trouble(fault: TableFault): void {
    const { backlog, health } = this.parts;
    this.counters.failures += 1;
    health.become(fault.state, fault.kind, fault.message);
    backlog.failWaiters(fault);
    if (fault.kind === 'data-lost') this.compareWith ??= 'ourselves';
    if (fault.needsConnection) this.drop();
  }

  private drop(): void {
    this.session?.link.close();
    this.session = undefined;
  }
}

function longer(wait: number): number {
  return Math.min(2 * wait, MAX_WAIT_MS);
}
