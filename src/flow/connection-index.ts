/**
 * Finds a connection by the tuple of a packet, in both directions. A chained hash table, because a `Map`
 * would need a key made of each packet's addresses: a lookup here allocates nothing.
 */
import type { Tuple } from '../wire/tuple.js';
import type { Connection } from './connection.js';

export class Entry {
  next: Entry | undefined;
  constructor(
    readonly tuple: Tuple,
    readonly hash: number,
    readonly connection: Connection,
    /** The packets of this tuple come from the shell. */
    readonly fromShell: boolean,
  ) {}
}

const FIRST_BUCKETS = 1024;

export class ConnectionIndex {
  private buckets: (Entry | undefined)[] = new Array<Entry | undefined>(FIRST_BUCKETS).fill(undefined);
  private entries = 0;

  /** Connections held. */
  get size(): number {
    return this.entries / 2;
  }

  find(tuple: Tuple): Entry | undefined {
    const hash = tuple.hash();
    let entry = this.buckets[hash & (this.buckets.length - 1)];
    while (entry !== undefined && (entry.hash !== hash || !entry.tuple.equals(tuple))) entry = entry.next;
    return entry;
  }

  add(connection: Connection): void {
    this.insert(new Entry(connection.toShell, connection.toShell.hash(), connection, false));
    this.insert(new Entry(connection.toFar, connection.toFar.hash(), connection, true));
    if (this.entries > this.buckets.length) this.grow();
  }

  /** Takes a connection out; one that is not in changes nothing. */
  remove(connection: Connection): void {
    this.take(connection.toShell, connection);
    this.take(connection.toFar, connection);
  }

  *connections(): Generator<Connection> {
    for (const bucket of this.buckets) {
      for (let entry = bucket; entry !== undefined; entry = entry.next) {
        if (entry.fromShell) yield entry.connection;
      }
    }
  }

  private insert(entry: Entry): void {
    const slot = entry.hash & (this.buckets.length - 1);
    entry.next = this.buckets[slot];
    this.buckets[slot] = entry;
    this.entries++;
  }

  private take(tuple: Tuple, connection: Connection): void {
    const slot = tuple.hash() & (this.buckets.length - 1);
    let before: Entry | undefined;
    for (let entry = this.buckets[slot]; entry !== undefined; before = entry, entry = entry.next) {
      if (entry.connection !== connection || !entry.tuple.equals(tuple)) continue;
      if (before === undefined) this.buckets[slot] = entry.next;
      else before.next = entry.next;
      this.entries--;
      return;
    }
  }

  private grow(): void {
    const old = this.buckets;
    this.buckets = new Array<Entry | undefined>(old.length * 2).fill(undefined);
    this.entries = 0;
    for (const bucket of old) {
      for (let entry = bucket; entry !== undefined; ) {
        const next = entry.next;
        this.insert(entry);
        entry = next;
      }
    }
  }
}
