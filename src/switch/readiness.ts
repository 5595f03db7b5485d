/**
 * What the standby of a group has ready: the data path holds those flows of the active switch that it could go on with,
 * and nothing else.
 *
 * What always holds: a flow that the data path did not take is tried again until it does, has ended or has changed.
 */
import type { DataPlane, RestoreRequest } from '../dataplane/port.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/log.js';
import type { FlowRecord, FlowTable } from '../table/port.js';
import { requestFor } from './adopt.js';

/** How often flows that the data path did not take are tried again, and how many of them at once. */
const RETRY_MS = 1000;
const RETRIED = 32;

export interface ReadinessParts {
  readonly plane: DataPlane;
  readonly table: FlowTable;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Readiness {
  /** Flows of the active switch that the data path did not take. */
  private readonly unplaced = new Map<string, RestoreRequest>();
  private retryAt = 0;

  constructor(private readonly parts: ReadinessParts) {}

  /** Begins to follow: what the data path has and the table has not goes, and from now on it is told of changes. */
  async begin(): Promise<void> {
    const { log, plane, table } = this.parts;
    const wanted = new Map([...table.records()].map((record) => [record.id, record]));
    const { ids } = await plane.states();
    const strange = ids.filter((id) => !requestFor(wanted.get(id)));
    await plane.drop(strange);
    await plane.forward();
    log.info({ flows: ids.length - strange.length }, 'standby: following the active switch');
  }

  /** The active switch has changed these. */
  async followed(changed: readonly FlowRecord[], gone: readonly string[]): Promise<void> {
    const { plane } = this.parts;
    const wanted = changed.flatMap((record) => requestFor(record) ?? []);
    // What is carried already goes on as it is; only a flow that is closing has more to tell.
    const known = changed.filter(({ state }) => state !== 'stitched').map(({ id }) => id);
    await plane.drop([...known, ...gone]);
    const placed = new Set(await plane.restore(wanted));
    for (const id of [...changed.map((record) => record.id), ...gone]) this.unplaced.delete(id);
    for (const request of wanted) if (!placed.has(request.id)) this.unplaced.set(request.id, request);
  }

  /** There may be room by now for what the data path could not take. */
  async retry(): Promise<void> {
    const { clock, plane } = this.parts;
    if (this.unplaced.size === 0 || clock.monotonic() < this.retryAt) return;
    this.retryAt = clock.monotonic() + RETRY_MS;
    const some = [...this.unplaced.values()].slice(0, RETRIED);
    for (const id of await plane.restore(some)) this.unplaced.delete(id);
  }
}
