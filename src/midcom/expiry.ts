/**
 * Things that end at a time of their own, found without looking at all of them: one set for each second.
 * Adding and removing cost the same however many there are. A thing whose `expiresAt` moves on stays where
 * it was and is put right when its old second comes, so a renewal costs nothing here; a thing whose time
 * moves to an earlier second has to be removed first and added again.
 */
export interface Expiring {
  /** Monotonic milliseconds. */
  expiresAt: number;
}

export class ExpirySet<T extends Expiring> {
  private readonly seconds = new Map<number, Set<T>>();
  private readonly places = new Map<T, number>();
  private swept: number;

  constructor(now: number) {
    this.swept = secondOf(now);
  }

  get size(): number {
    return this.places.size;
  }

  add(item: T): void {
    this.remove(item);
    const second = Math.max(secondOf(item.expiresAt), this.swept);
    let set = this.seconds.get(second);
    if (!set) {
      set = new Set();
      this.seconds.set(second, set);
    }
    set.add(item);
    this.places.set(item, second);
  }

  remove(item: T): void {
    const second = this.places.get(item);
    if (second === undefined) return;
    this.places.delete(item);
    const set = this.seconds.get(second);
    set?.delete(item);
    if (set?.size === 0) this.seconds.delete(second);
  }

  /** Takes out and returns what has ended by `now`. */
  due(now: number): T[] {
    const ended: T[] = [];
    const last = secondOf(now);
    // After a long sleep there are more seconds than sets.
    const sets = [...this.seconds.keys()].filter((second) => second <= last);
    for (const second of sets) {
      for (const item of this.seconds.get(second) ?? []) {
        if (item.expiresAt > now) {
          if (secondOf(item.expiresAt) > second) this.add(item);
          continue;
        }
        this.remove(item);
        ended.push(item);
      }
    }
    this.swept = last;
    return ended;
  }
}

function secondOf(time: number): number {
  return Math.floor(time / 1000);
}
