/**
 * The connection that a table has at the moment, and how long the lease that was got on it lasts.
 *
 * What always holds: the lease counts from before it was asked for, since the answer may have been long under way; what
 * is remembered of it outlives the connection.
 */
import type { Clock } from '../../platform/clock.js';
import type { TakeHow } from './scripts.js';
import { type LeaseMemory, Session, type SessionOptions, type Taken } from './session.js';

/**
 * How often the lease is prolonged while it lasts. It bears a pause of all but the last of these parts, and a switch that
 * is gone is missed after at least as long: the more often, the closer these two are together.
 */
const PROLONGED_IN_A_LEASE = 5;
/** How often a switch that has stopped looks for its successor. */
const LOOK_MS = 40;

export class Tenure {
  /** How often a connection was tried. */
  connections = 0;
  /** When the lease is to be taken again, as the clock's monotonic time. */
  prolongAt = 0;
  private readonly memory: LeaseMemory = { number: '', serial: 0, confirmed: 0 };
  private until = 0;
  private open: Session | undefined;

  constructor(
    private readonly options: SessionOptions,
    private readonly clock: Clock,
  ) {}

  /** The open connection, if there is one. */
  get session(): Session | undefined {
    return this.open;
  }

  /** The open connection, or a new one unless the signal aborts first. */
  async connected(signal?: AbortSignal): Promise<Session> {
    this.open ??= await this.connect(signal);
    return this.open;
  }

  drop(): void {
    this.open?.link.close();
    this.open = undefined;
  }

  /** It lasts, as far as can be known without asking. */
  get lasts(): boolean {
    return this.clock.monotonic() < this.until;
  }

  async hold(session: Session, how: TakeHow): Promise<Taken> {
    const { leaseMs } = this.options;
    const asked = this.clock.monotonic();
    const taken = await session.take(how);
    this.until = asked + leaseMs;
    this.prolongAt = asked + leaseMs / PROLONGED_IN_A_LEASE;
    return taken;
  }

  /** After the lease was given back: whether another switch takes it within `ms`. */
  async hasSuccessor(ms: number): Promise<boolean> {
    const { clock, options } = this;
    const end = clock.monotonic() + ms;
    const other = await this.connect().catch(() => undefined);
    try {
      while (other && clock.monotonic() < end) {
        const { link, keys } = other;
        const token = await link.ask((client) => client.hget(keys.lease, 'token'));
        if (token && token !== options.token) return true;
        await clock.sleep(LOOK_MS);
      }
    } catch {
      // Nobody knows, so nobody is taken for granted.
    } finally {
      other?.link.close();
    }
    return false;
  }

  private async connect(signal?: AbortSignal): Promise<Session> {
    this.connections += 1;
    return Session.open(this.options, this.memory, signal);
  }
}
