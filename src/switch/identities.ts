/**
 * What the data path doesn't know of flows: whose they are, and what their agents call their ends.
 *
 * What always holds: it is known from before the data path's first event of a flow until the table has forgotten the flow.
 */
import type { FlowTable } from '../table/port.js';
import type { Identity } from './adopt.js';

/** A table that forgets by its own limit does not say which; so they are compared, this seldom. */
const EXPIRIES_PER_CHECK = 60;

export class Identities {
  private readonly known = new Map<string, Identity>();
  /** Flows that are not in the table yet. */
  private readonly pairing = new Set<string>();
  private expiries = 0;

  constructor(private readonly table: FlowTable) {}

  get(id: string): Identity | undefined {
    return this.known.get(id);
  }

  set(id: string, identity: Identity): void {
    this.known.set(id, identity);
  }

  delete(id: string): void {
    this.known.delete(id);
  }

  /** Of a flow that `work` makes and puts into the table; not known any more if that fails. */
  async whileMade<T>(identity: Identity, work: () => Promise<T>): Promise<T> {
    this.pairing.add(identity.id);
    try {
      return await this.whileTried(identity, work);
    } finally {
      this.pairing.delete(identity.id);
    }
  }

  /** It is `next` from before `work`, so that what is told meanwhile has it too; and as it was again if that fails. */
  async whileTried<T>(next: Identity, work: () => Promise<T>): Promise<T> {
    const before = this.known.get(next.id);
    this.known.set(next.id, next);
    try {
      return await work();
    } catch (error) {
      if (!before) this.known.delete(next.id);
      else if (this.known.has(next.id)) this.known.set(next.id, before);
      throw error;
    }
  }

  /** Forgets what the table does. */
  async expire(now: number): Promise<void> {
    for (const id of await this.table.expire(now)) this.known.delete(id);
    if (++this.expiries % EXPIRIES_PER_CHECK === 0) await this.forgetUnlisted();
  }

  private async forgetUnlisted(): Promise<void> {
    const listed = [...this.known.keys()].filter((id) => !this.pairing.has(id));
    const kept = new Set<string>();
    for (const { id } of this.table.records()) kept.add(id);
    for (const id of listed) if (!kept.has(id)) this.known.delete(id);
  }
}
