/**
 * Brings into Redis what the table in memory holds: batch after batch of what changed, or all of it after a comparison,
 * when nobody knows any more what Redis has.
 *
 * What always holds: a batch whose fate is not known is given back, and written again.
 */
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/log.js';
import { lostFlow } from '../lost.js';
import type { MemoryTable } from '../memory.js';
import type { Backlog, Batch } from './backlog.js';
import { faultOf } from './faults.js';
import type { Health } from './health.js';
import { loadRecords, readIds } from './reader.js';
import type { Session } from './session.js';

/** Flows in one command: some ten milliseconds of a server that does nothing else meanwhile. */
export const BATCH = 256;

/** Of whom is what Redis has and this table does not: of a switch that was active meanwhile, or of this one itself. */
type Strangers = 'others' | 'ourselves';

export interface SaverParts {
  readonly where: string;
  readonly memory: MemoryTable;
  readonly backlog: Backlog;
  readonly health: Health;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Saver {
  readonly counters = { saved: 0, removed: 0, rewrites: 0 };
  private wanted: Strangers | undefined;

  constructor(private readonly parts: SaverParts) {}

  /** All has to be compared and written again. */
  get mustCompare(): boolean {
    return this.wanted !== undefined || this.parts.backlog.overflowed;
  }

  /** The lease was away. */
  distrust(): void {
    this.wanted = 'others';
  }

  /** The server lost what it had confirmed. */
  distrustServer(): void {
    this.wanted ??= 'ourselves';
  }

  async write(session: Session, batch: Batch): Promise<void> {
    const { backlog, memory } = this.parts;
    const records = batch.changed.flatMap((id) => memory.peek(id) ?? []);
    try {
      await session.remove(batch.gone);
      await session.write(records, !batch.isRewrite);
    } catch (error) {
      backlog.giveBack(batch, faultOf(error));
      throw error;
    }
    backlog.done(batch);
    this.counters.saved += records.length;
    this.counters.removed += batch.gone.length;
  }

  /** What is gone is taken out, even where nothing can be added. */
  async makeRoom(session: Session): Promise<void> {
    const { backlog } = this.parts;
    for (let ids = backlog.takeGone(BATCH); ids.length > 0; ids = backlog.takeGone(BATCH)) {
      try {
        await session.remove(ids);
        this.counters.removed += ids.length;
      } catch {
        for (const id of ids) backlog.forget(id);
        return;
      }
    }
  }

  /** Makes Redis hold what this table holds, whatever it holds now. */
  async compare(session: Session): Promise<void> {
    const { backlog, clock, health, log, memory, where } = this.parts;
    health.become('degraded', 'rewriting', 'all flows are being written again');
    const { link, keys } = session;
    const ids = await readIds(link, keys);
    const strange = ids.filter((id) => memory.peek(id) === undefined && !backlog.isForgotten(id));
    if (this.wanted === 'others') {
      // Another switch was active meanwhile, and is gone.
      const records = await loadRecords(link, keys, strange);
      for (const record of records) await memory.put(lostFlow(record, clock.wall()));
    } else {
      for (let from = 0; from < strange.length; from += BATCH) {
        await session.remove(strange.slice(from, from + BATCH));
      }
    }
    log.info({ table: where, flows: memory.size, strange: strange.length }, 'writing all flows again');
    this.counters.rewrites += 1;
    this.wanted = undefined;
    backlog.rewrite([...memory.ids()]);
  }
}
