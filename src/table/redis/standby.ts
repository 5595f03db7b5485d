/**
 * What a standby does: keeps a copy of what the active switch writes (`follower.ts`), and takes the lease as soon as it
 * can be had.
 *
 * What always holds: who has waited for the lease and got it has all flows; without Redis it goes on trying for ever.
 */
import type { Clock } from '../../platform/clock.js';
import { faultOf, type TableFault } from './faults.js';
import type { Follower } from './follower.js';
import type { Health } from './health.js';
import type { Leader, Session } from './session.js';
import type { Tenure } from './tenure.js';

/** How often it looks for changes, and for the end of the lease; and its waits without Redis. */
const FOLLOW_MS = 40;
const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 500;
/** A miss makes it look sooner, but not sooner than this after the last time. */
const LOOK_GAP_MS = 10;

export interface StandbyParts {
  readonly tenure: Tenure;
  readonly follower: Follower;
  readonly health: Health;
  readonly clock: Clock;
  /** Who leads has changed; waited for. */
  readonly onLeader: (links: string) => Promise<void>;
  /** Told what went wrong, before it tries again with another connection. */
  readonly trouble: (fault: TableFault) => void;
}

export class Standby {
  private forced = false;
  private leader: Leader | undefined;
  private isMissed = false;
  private resting: AbortController | undefined;

  constructor(private readonly parts: StandbyParts) {}

  /** Takes the lease from whoever has it, as soon as that can be done. */
  promote(): void {
    this.forced = true;
  }

  /** Something may be in the table that this switch does not have yet: it looks soon. */
  look(): void {
    this.isMissed = true;
    this.resting?.abort();
  }

  /** The first copy, when the lease was found to be another's. `why`: who has it. */
  async begin(session: Session, why: string): Promise<void> {
    const { follower, health } = this.parts;
    await this.noteLeader(session);
    await follower.snapshot(session.link, session.keys);
    health.become('up', 'standby', why);
  }

  /** Until the lease can be had, and then true; or until the signal aborts. */
  async follow(signal: AbortSignal): Promise<boolean> {
    const { tenure, clock, health, follower, trouble } = this.parts;
    let [wait, takeAt] = [FIRST_WAIT_MS, 0];
    while (!signal.aborted) {
      try {
        const isNew = tenure.session === undefined;
        const session = await tenure.connected();
        const { link, keys } = session;
        if (isNew) await follower.snapshot(link, keys);
        if (clock.monotonic() >= takeAt) {
          if (await this.takeIfFree(session)) {
            await follower.finish(link, keys);
            return true;
          }
          takeAt = clock.monotonic() + FOLLOW_MS;
          await this.noteLeader(session);
        }
        health.become('up', 'standby', 'another switch is the active one');
        await follower.advance(link, keys);
        wait = FIRST_WAIT_MS;
        await this.rest(signal);
      } catch (thrown) {
        trouble(faultOf(thrown));
        tenure.drop();
        await clock.sleep(wait, signal).catch(() => {});
        wait = Math.min(2 * wait, MAX_WAIT_MS);
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
    if (this.isMissed) this.parts.follower.counters.lookups += 1;
    this.isMissed = false;
  }

  private async takeIfFree(session: Session): Promise<boolean> {
    try {
      await this.parts.tenure.hold(session, this.forced ? 'force' : 'same-name');
      return true;
    } catch (thrown) {
      const fault = faultOf(thrown);
      if (fault.kind === 'lease') return false;
      throw fault;
    }
  }

  private async noteLeader({ leader }: Session): Promise<void> {
    if (!leader || (leader.number === this.leader?.number && leader.links === this.leader.links)) return;
    this.leader = leader;
    await this.parts.onLeader(leader.links);
  }
}
