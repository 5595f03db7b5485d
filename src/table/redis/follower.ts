/**
 * A standby's copy of its group's flows: a snapshot, then the flows that the stream names, read anew.
 *
 * The stream is capped, and a server that lost its data has another one, so a place in it that is gone means a new
 * snapshot. `finish` makes the copy whole when the lease has been got, and nobody else writes any more.
 */
import type { MemoryTable } from '../memory.js';
import type { FlowRecord } from '../port.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';
import { loadRecords, readIds } from './reader.js';

/** Events read at once. */
const EVENTS = 1000;
const BEGINNING = '0-0';

/** Told in order, and waited for. */
export type OnFollowed = (changed: readonly FlowRecord[], gone: readonly string[]) => Promise<void>;

type Entry = [id: string, fields: string[]];

export class Follower {
  /** `lookups`: how often something missing made it look sooner. */
  readonly counters = { snapshots: 0, followed: 0, lookups: 0 };
  private place = BEGINNING;

  constructor(
    private readonly memory: MemoryTable,
    private readonly onFollowed: () => OnFollowed,
  ) {}

  async snapshot(link: Link, keys: Keys): Promise<void> {
    this.counters.snapshots += 1;
    const latest = await link.ask((client) => client.xrevrange(keys.events, '+', '-', 'COUNT', 1));
    this.place = latest[0]?.[0] ?? BEGINNING;
    const ids = await readIds(link, keys);
    await this.take(await loadRecords(link, keys, ids), this.missingFrom(ids));
  }

  /** Reads what has happened since the last time. */
  async advance(link: Link, keys: Keys): Promise<void> {
    for (;;) {
      const [first] = await link.ask((client) => client.xrange(keys.events, '-', '+', 'COUNT', 1));
      const isThere = first ? !isAfter(first[0], this.place) : false;
      if (!isThere && this.place !== BEGINNING) return this.snapshot(link, keys);
      const read = await link.ask((client) =>
        client.xread('COUNT', EVENTS, 'STREAMS', keys.events, this.place),
      );
      const entries = (read?.[0]?.[1] ?? []) as Entry[];
      const last = entries.at(-1);
      if (!last) return;
      this.place = last[0];
      const ids = new Set(entries.map(([, fields]) => fields[fields.indexOf('id') + 1] ?? ''));
      await this.read(link, keys, [...ids]);
      if (entries.length < EVENTS) return;
    }
  }

  /** To be called once nobody else writes: reads what the stream does not tell. */
  async finish(link: Link, keys: Keys): Promise<void> {
    await this.advance(link, keys);
    const ids = await readIds(link, keys);
    const unsettled = ids.filter((id) => {
      const state = this.memory.peek(id)?.state;
      return state !== 'stitched' && state !== 'closed' && state !== 'broken';
    });
    const gone = this.missingFrom(ids);
    await this.take(await loadRecords(link, keys, unsettled), gone);
  }

  private async read(link: Link, keys: Keys, ids: readonly string[]): Promise<void> {
    const records = await loadRecords(link, keys, ids);
    const found = new Set(records.map(({ id }) => id));
    await this.take(
      records,
      ids.filter((id) => !found.has(id)),
    );
  }

  private async take(changed: readonly FlowRecord[], gone: readonly string[]): Promise<void> {
    this.counters.followed += changed.length;
    for (const record of changed) await this.memory.put(record);
    for (const id of gone) await this.memory.delete(id);
    if (changed.length + gone.length > 0) await this.onFollowed()(changed, gone);
  }

  private missingFrom(ids: readonly string[]): string[] {
    const there = new Set(ids);
    return [...this.memory.ids()].filter((id) => !there.has(id));
  }
}

/** Ids of a stream are milliseconds and a serial number. */
function isAfter(a: string, b: string): boolean {
  const [time = 0, serial = 0] = a.split('-').map(Number);
  const [otherTime = 0, otherSerial = 0] = b.split('-').map(Number);
  return time > otherTime || (time === otherTime && serial > otherSerial);
}
