/**
 * Keeps Redis like the table in memory: holds the lease (`tenure.ts`), has what changes written (`saver.ts`), and starts
 * again when something goes wrong, after waits that double up to a few seconds. A standby waits for its turn first
 * (`standby.ts`).
 *
 * What always holds: one command is under way at a time; after the lease was away, or a server lost what it had
 * confirmed, all flows are written again.
 */
import { deferred } from '../../platform/deferred.js';
import { SutureError } from '../../platform/errors.js';
import { type FaultKind, faultOf, type TableFault } from './faults.js';
import { Follower, type OnFollowed } from './follower.js';
import { loadRecords, readIds } from './reader.js';
import { BATCH, Saver, type SaverParts } from './saver.js';
import type { Session, SessionOptions } from './session.js';
import { Standby } from './standby.js';
import { Tenure } from './tenure.js';

const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 5_000;
/** How long a start tries to reach Redis, and beyond the end of someone else's lease. */
const START_MS = 10_000;
const LEASE_MARGIN_MS = 1_000;
/** How long a stop tries to write what is left. */
const STOP_MS = 2_000;
/** No use trying again by itself, when it is so from the start. */
const LASTING: ReadonlySet<FaultKind> = new Set(['not-allowed', 'layout', 'error']);

export interface WriterParts extends SaverParts {
  readonly session: SessionOptions;
  /** It waits for the lease as long as it takes, and follows meanwhile; and it gives way to another one. */
  readonly standby: boolean;
  readonly onFollowed: () => OnFollowed;
  /** Who leads has changed; waited for. */
  readonly onLeader: (links: string) => Promise<void>;
}

export class Writer {
  readonly follower: Follower;
  /** Resolves when this switch has the lease and all flows; and when another one has taken it from there. */
  readonly leading = deferred();
  readonly deposed = deferred();
  isLeader = false;
  private readonly stopping = new AbortController();
  private readonly givenUp = new AbortController();
  private readonly aborted = new AbortController();
  private readonly tenure: Tenure;
  private readonly saver: Saver;
  private readonly standby: Standby;
  private running: Promise<boolean> = Promise.resolve(false);
  private failures = 0;

  constructor(private readonly parts: WriterParts) {
    const { session, memory, health, clock, onLeader } = parts;
    this.tenure = new Tenure(session, clock);
    this.saver = new Saver(parts);
    this.follower = new Follower(memory, () => parts.onFollowed());
    const { tenure, follower } = this;
    const trouble = (fault: TableFault): void => this.trouble(fault);
    this.standby = new Standby({ tenure, follower, health, clock, onLeader, trouble });
  }

  get counters(): Readonly<Record<string, number>> {
    const { saved, removed, rewrites } = this.saver.counters;
    return { saved, removed, failures: this.failures, connections: this.tenure.connections, rewrites };
  }

  /**
   * Gets the lease and loads all records. Rejects with a `SutureError`. Once given up it waits for no Redis any more; what it
   * has asked for by then it waits for, since a lease that was got has to be given back.
   */
  async start(): Promise<void> {
    const { clock, where, session } = this.parts;
    const { tenure } = this;
    const { signal } = this.givenUp;
    const began = clock.monotonic();
    for (let wait = FIRST_WAIT_MS; ; wait = longer(wait)) {
      if (signal.aborted) {
        await this.letGo();
        throw signal.reason;
      }
      try {
        const connected = await tenure.connected(signal);
        await tenure.hold(connected, 'same-name');
        await this.load(connected);
        // That may have taken longer than the lease lasts, and somebody else may have it now.
        await tenure.hold(connected, 'same-name');
        break;
      } catch (thrown) {
        const fault = faultOf(thrown);
        if (fault.kind === 'lease' && this.parts.standby && tenure.session) {
          await this.standby.begin(tenure.session, fault.message);
          this.running = this.follow();
          return;
        }
        const limit = fault.kind === 'lease' ? session.leaseMs + LEASE_MARGIN_MS : START_MS;
        if (LASTING.has(fault.kind) || clock.monotonic() - began > limit) {
          tenure.drop();
          throw fault.asError(where);
        }
        this.trouble(fault);
        await clock.sleep(wait, signal).catch(() => {});
      }
    }
    this.lead();
    this.running = this.run();
  }

  giveUp(): void {
    this.givenUp.abort(new SutureError('SUT_SHUTTING_DOWN', 'stopped before the flow table was there'));
  }

  /** It holds the lease, as far as it can know without asking. */
  get holdsLease(): boolean {
    return this.isLeader && this.tenure.lasts;
  }

  /** After a stop: whether another switch takes the lease within `ms`. */
  hasSuccessor(ms: number): Promise<boolean> {
    return this.tenure.hasSuccessor(ms);
  }

  /** Takes the lease from whoever has it, as soon as that can be done. */
  promote(): void {
    this.standby.promote();
  }

  /** Something may be in the table that this switch does not have yet: a standby looks soon. */
  look(): void {
    this.standby.look();
  }

  private lead(): void {
    this.isLeader = true;
    this.parts.health.up();
    this.leading.resolve();
  }

  /** Waits for its turn as a standby. Resolves like `run`. */
  private async follow(): Promise<boolean> {
    if (!(await this.standby.follow(this.stopping.signal))) return false;
    this.lead();
    return this.run();
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
    if (isDrained) await this.letGo();
    this.aborted.abort();
    this.tenure.drop();
    await this.running;
    if (backlog.size > 0) log.warn({ table: where, queued: backlog.size }, 'not all flows were saved');
  }

  /** Gives the lease back if there is a connection to do it by, and ends that. */
  private async letGo(): Promise<void> {
    await this.tenure.session?.release().catch(() => {});
    this.tenure.drop();
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
        await this.serve(await this.tenure.connected(), success);
        return true;
      } catch (thrown) {
        const fault = faultOf(thrown);
        this.trouble(fault);
        if (fault.kind === 'lease' && this.parts.standby) {
          this.isLeader = false;
          this.deposed.resolve();
          return false;
        }
        const { session } = this.tenure;
        if (fault.kind === 'out-of-memory' && session) await this.saver.makeRoom(session);
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
    const { tenure, saver } = this;
    tenure.prolongAt = clock.monotonic();
    for (;;) {
      if (clock.monotonic() >= tenure.prolongAt && (await tenure.hold(session, 'free')) === 'taken') {
        saver.distrust();
      }
      if (saver.mustCompare) await saver.compare(session);
      const batch = backlog.take(BATCH);
      if (batch) await saver.write(session, batch);
      if (backlog.isRewriting) health.become('degraded', 'rewriting', 'all flows are being written again');
      else health.up();
      success();
      if (batch) continue;
      if (this.stopping.signal.aborted) return;
      await this.idle(session, tenure.prolongAt - clock.monotonic());
    }
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
    this.failures += 1;
    health.become(fault.state, fault.kind, fault.message);
    backlog.failWaiters(fault);
    if (fault.kind === 'data-lost') this.saver.distrustServer();
    if (fault.needsConnection) this.tenure.drop();
  }
}

function longer(wait: number): number {
  return Math.min(2 * wait, MAX_WAIT_MS);
}
