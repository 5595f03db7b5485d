/**
 * The embedded flow table: a map in this process, gone with it.
 *
 * `#ended` holds the ids of the flows that have ended, in the order of their end; an id is in it exactly
 * while the record with it has `closedAt`.
 */
import {
  type FlowFilter,
  type FlowRecord,
  type FlowTable,
  listed,
  type TableLimits,
  type TableStatus,
} from './port.js';

/** As long as a closed flow lingers by default, so that it is listed while it is still translated. */
export const DEFAULT_LIMITS: TableLimits = { keepClosedMs: 240_000, maxClosed: 10_000 };

export class MemoryTable implements FlowTable {
  readonly #records = new Map<string, FlowRecord>();
  readonly #ended = new Map<string, number>();
  readonly #limits: TableLimits;
  readonly #onForget: (id: string) => void;

  /** `onForget` hears of every flow that is no longer in the table, whoever took it out. */
  constructor(limits: Partial<TableLimits> = {}, onForget: (id: string) => void = () => {}) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#onForget = onForget;
  }

  async start(): Promise<void> {}

  async put(record: FlowRecord): Promise<void> {
    this.#keep(copyOf(record));
  }

  /** As `put`, with records that are nobody else's from now on: 100,000 copies take a good part of a second. */
  fill(records: readonly FlowRecord[]): void {
    for (const record of records) this.#keep(record);
  }

  /** Nothing here outlives the process, so there is nothing to wait for. */
  async secure(): Promise<void> {}

  async get(id: string): Promise<FlowRecord | undefined> {
    const record = this.#records.get(id);
    return record && copyOf(record);
  }

  async list(filter: FlowFilter = {}): Promise<FlowRecord[]> {
    return listed(this.#records.values(), filter).map((record) => copyOf(record));
  }

  records(): Iterable<FlowRecord> {
    return this.#records.values();
  }

  async delete(id: string): Promise<boolean> {
    return this.#forget(id);
  }

  async expire(now: number): Promise<string[]> {
    const gone: string[] = [];
    for (const [id, closedAt] of this.#ended) {
      if (closedAt + this.#limits.keepClosedMs > now) continue;
      gone.push(id);
      this.#forget(id);
    }
    return gone;
  }

  status(): TableStatus {
    return { kind: 'memory', state: 'up', counters: { flows: this.#records.size } };
  }

  async stop(): Promise<void> {
    this.#records.clear();
    this.#ended.clear();
  }

  /** The record itself, for who only reads it at once. */
  peek(id: string): FlowRecord | undefined {
    return this.#records.get(id);
  }

  ids(): IterableIterator<string> {
    return this.#records.keys();
  }

  get size(): number {
    return this.#records.size;
  }

  #keep(record: FlowRecord): void {
    const { id, closedAt } = record;
    this.#records.set(id, record);
    if (closedAt === undefined) this.#ended.delete(id);
    else this.#end(id, closedAt);
  }

  #end(id: string, closedAt: number): void {
    // A record that is put again after its end, with its last counters, keeps its place.
    this.#ended.set(id, closedAt);
    if (this.#ended.size <= this.#limits.maxClosed) return;
    const [oldest] = this.#ended.keys();
    if (oldest !== undefined) this.#forget(oldest);
  }

  #forget(id: string): boolean {
    this.#ended.delete(id);
    const isKnown = this.#records.delete(id);
    if (isKnown) this.#onForget(id);
    return isKnown;
  }
}

/** Several times as fast as `structuredClone`, which matters when a table of 100,000 flows is loaded or listed. */
function copyOf(record: FlowRecord): FlowRecord {
  const { outer, inner, up, down, toShellStitched, saved, history } = record;
  return {
    ...record,
    ...(saved && { saved: { outer: { ...saved.outer }, inner: { ...saved.inner } } }),
    outer: { local: { ...outer.local }, remote: { ...outer.remote } },
    inner: { local: { ...inner.local }, remote: { ...inner.remote } },
    up: { ...up },
    down: { ...down },
    toShellStitched: { ...toShellStitched },
    history: history.map((step) => ({ ...step })),
  };
}
