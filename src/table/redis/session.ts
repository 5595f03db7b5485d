/**
 * A connection with the group's lease: what may be written, in order, one thing at a time. Whatever goes wrong is a
 * `TableFault`, after which the session may be used again unless the fault `needsConnection`.
 */
import type { Clock } from '../../platform/clock.js';
import type { FlowRecord } from '../port.js';
import { encodeRecord, expiryScore } from './codec.js';
import { TableFault } from './faults.js';
import { type Keys, keysOf } from './keys.js';
import { Link, type LinkOptions } from './link.js';
import { newerLayout } from './reader.js';
import { releaseLease, removeFlows, type TakeHow, takeLease, writeFlows } from './scripts.js';

export interface SessionOptions extends LinkOptions {
  readonly group: string;
  /** Tells this run of this switch from all others. */
  readonly token: string;
  /** Name of the switch. */
  readonly holder: string;
  readonly leaseMs: number;
  readonly keepClosedMs: number;
  /** Most events that the stream keeps. */
  readonly events: number;
  /** Where this switch can be reached, for the others of its group. */
  readonly links: string;
  readonly clock: Clock;
}

/** How the lease was got: it is still the one that this switch had, or it is a new one. */
export type Taken = 'kept' | 'taken';

/** What of the lease is remembered from one connection to the next. */
export interface LeaseMemory {
  number: string;
  /** Of the last write that was tried, and of the last one that was confirmed. */
  serial: number;
  confirmed: number;
}

/** Who has the lease, as it was found last. */
export interface Leader {
  readonly number: string;
  readonly links: string;
}

export class Session {
  readonly keys: Keys;
  /** Another switch than this one. */
  leader: Leader | undefined;

  private constructor(
    readonly link: Link,
    private readonly options: SessionOptions,
    private readonly lease: LeaseMemory,
  ) {
    this.keys = keysOf(options.group);
  }

  static async open(options: SessionOptions, lease: LeaseMemory, signal?: AbortSignal): Promise<Session> {
    return new Session(await Link.open(options, signal), options, lease);
  }

  /** Takes the lease, or prolongs it. Rejects with `data-lost` when the server has forgotten confirmed writes. */
  async take(how: TakeHow): Promise<Taken> {
    const { token, holder: name, leaseMs, links } = this.options;
    const reply = await takeLease(this.link, this.keys, { token, name, leaseMs, how, links });
    const [result, first, second, number, theirs] = reply;
    this.leader = result === 'held' ? { number: number ?? '', links: theirs ?? '' } : undefined;
    if (result === 'held') {
      throw new TableFault('lease', `switch ${first} is the active one of group ${this.options.group}`);
    }
    if (result === 'layout') throw new TableFault('layout', newerLayout(this.keys, first).message);
    const { lease } = this;
    if (result === 'taken') {
      Object.assign(lease, { number: first ?? '', serial: 0, confirmed: 0 });
      return 'taken';
    }
    this.checkLoss(Number(second));
    return 'kept';
  }

  async write(records: readonly FlowRecord[], hasEvents: boolean): Promise<void> {
    if (records.length === 0) return;
    const { keepClosedMs, events, clock, token } = this.options;
    const { lease } = this;
    lease.serial += 1;
    const serial = lease.serial;
    const reply = await writeFlows(
      this.link,
      this.keys,
      { token, number: lease.number },
      {
        serial,
        confirmed: lease.confirmed,
        events: hasEvents ? events : 0,
        now: clock.wall(),
        flows: records.map((record) => ({
          id: record.id,
          score: expiryScore(record, keepClosedMs),
          state: record.state,
          reason: record.reason ?? '',
          agent: record.agent,
          fields: encodeRecord(record),
        })),
      },
    );
    this.check(reply);
    lease.confirmed = serial;
  }

  async remove(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    const { token } = this.options;
    this.check(await removeFlows(this.link, this.keys, { token, number: this.lease.number }, ids));
  }

  async release(): Promise<void> {
    await releaseLease(this.link, this.keys, this.options.token);
  }

  private check([result, detail]: readonly (string | null)[]): void {
    if (result === 'ok') return;
    if (result === 'behind') this.checkLoss(Number(detail));
    if (result === 'layout') {
      throw new TableFault('layout', `${detail} was written by a newer version, and is left as it is`);
    }
    if (result === 'lease') {
      const by = detail ? `switch ${detail} has` : 'nobody has';
      throw new TableFault('lease', `the lease of group ${this.options.group} was lost: ${by} it now`);
    }
    throw new TableFault('error', `an unexpected answer: ${result} ${detail}`);
  }

  private checkLoss(serial: number): void {
    const { lease } = this;
    if (serial >= lease.confirmed) return;
    const lost = lease.confirmed - serial;
    lease.confirmed = serial;
    throw new TableFault('data-lost', `${lost} confirmed writes are not there any more`);
  }
}
