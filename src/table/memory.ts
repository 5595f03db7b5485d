/**
 * The embedded flow table: a map in this process, gone with it.
 *
 * `#ended` holds the ids of the flows that have ended, in the order of their end; an id is in it exactly
 * while the record with it has `closedAt`.
 */
import type { FlowFilter, FlowRecord, FlowTable, TableLimits } from './port.js';

/** As long as a closed flow lingers by default, so that it is listed while it is still translated. */
export const DEFAULT_LIMITS: TableLimits = { keepClosedMs: 240_000, maxClosed: 10_000 };

export class MemoryTable implements FlowTable {
  readonly #records = new Map<string, FlowRecord>();
  readonly #ended = new Map<string, number>();
  readonly #limits: TableLimits;

  constructor(limits: Partial<TableLimits> = {}) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
  }

  async put(record: FlowRecord): Promise<void> {
    this.#records.set(record.id, structuredClone(record));
    const { id, closedAt } = record;
    if (closedAt === undefined) this.#ended.delete(id);
    else this.#end(id, closedAt);
  }

  async get(id: string): Promise<FlowRecord | undefined> {
    const record = this.#records.get(id);
    return record && structuredClone(record);
  }

  async list({ state, agent }: FlowFilter = {}): Promise<FlowRecord[]> {
    const found: FlowRecord[] = [];
    for (const record of this.#records.values()) {
      if (state !== undefined && record.state !== state) continue;
      if (agent !== undefined && record.agent !== agent) continue;
      found.push(structuredClone(record));
    }
    return found.sort((a, b) => a.openedAt - b.openedAt);
  }

  async delete(id: string): Promise<boolean> {
    this.#ended.delete(id);
    return this.#records.delete(id);
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

  async close(): Promise<void> {
    this.#records.clear();
    this.#ended.clear();
  }

  #end(id: string, closedAt: number): void {
    // A record that is put again after its end, with its last counters, keeps its place.
    this.#ended.set(id, closedAt);
    if (this.#ended.size <= this.#limits.maxClosed) return;
    const [oldest] = this.#ended.keys();
    if (oldest !== undefined) this.#forget(oldest);
  }

  #forget(id: string): void {
    this.#ended.delete(id);
    this.#records.delete(id);
  }
}
