/**
 * The flows that the process knows of, by id and by their place in the kernel, and what is due with each: the ones on
 * their way to the stitch or to their end are ticked, the ones that ended are forgotten after their linger time.
 */
import type { StitchOffsets } from '../../flow/endpoints.js';
import type { TeardownMode } from '../../flow/state.js';

export interface Wish {
  readonly offsets: StitchOffsets;
  readonly teardown: TeardownMode;
}

/** Where a flow's record is, and that it is still this flow's. */
export interface Place {
  readonly slot: number;
  readonly generation: number;
  readonly isIpv6: boolean;
}

export interface Known extends Place {
  readonly id: string;
  /** The shell's wish, until both handshakes are complete. */
  wanted?: Wish | undefined;
}

export class FlowStore {
  private readonly byId = new Map<string, Known>();
  private readonly bySlot = new Map<number, Known>();
  /** When each is to be ticked that time moves on: clamped, draining, or with a FIN or RST that is held or not acknowledged yet. */
  readonly ticks = new Map<Known, number>();
  private readonly lingering = new Map<Known, number>();

  get size(): number {
    return this.byId.size;
  }

  add(known: Known): void {
    this.byId.set(known.id, known);
    this.bySlot.set(known.slot, known);
  }

  get(id: string): Known | undefined {
    return this.byId.get(id);
  }

  at(slot: number, generation: number): Known | undefined {
    const known = this.bySlot.get(slot);
    return known?.generation === generation ? known : undefined;
  }

  all(): IterableIterator<Known> {
    return this.byId.values();
  }

  linger(known: Known, until: number): void {
    this.ticks.delete(known);
    this.lingering.set(known, until);
  }

  lingers(known: Known): boolean {
    return this.lingering.has(known);
  }

  /** Those whose time is over at `now`. */
  *due(now: number): Generator<Known> {
    for (const [known, until] of this.lingering) if (until <= now) yield known;
  }

  forget(known: Known): void {
    this.byId.delete(known.id);
    if (this.bySlot.get(known.slot) === known) this.bySlot.delete(known.slot);
    this.ticks.delete(known);
    this.lingering.delete(known);
  }
}
