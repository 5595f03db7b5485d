/**
 * The flow table: what a switch knows of its flows, those that have ended for a while included.
 *
 * Every implementation passes `test/contract/table.ts`. Records go in and come out by value: changing one
 * changes nothing in the table. An id is put again with its new state; a record with `closedAt` has ended
 * and will be forgotten by `expire`, or earlier when there are too many of its kind.
 */
import type { ConnectionEndpoints } from '../flow/endpoints.js';
import type { SavedFlow } from '../flow/restore.js';
import type { DirectionCounters, FlowReason, FlowState, TeardownMode } from '../flow/state.js';
import type { Startable } from '../platform/lifecycle.js';

export interface FlowRecord {
  readonly id: string;
  readonly state: FlowState;
  readonly reason?: FlowReason;
  /** Name of the shell agent whose flow it is. */
  readonly agent: string;
  /** In both, `local` is the shell's end. */
  readonly outer: ConnectionEndpoints;
  readonly inner: ConnectionEndpoints;
  /** The end that opened its connection to the shell; the peer when absent. */
  readonly openedBy?: 'peer' | 'core';
  /** What made the shell ask for the stitch; the condition that came true last is the first. */
  readonly stitchCause?: readonly string[];
  /** What is done with its FINs and RSTs; known once the shell has asked for the stitch. */
  readonly teardown?: TeardownMode;
  readonly up: Readonly<DirectionCounters>;
  readonly down: Readonly<DirectionCounters>;
  /** What the flow sent to the shell since it was stitched. */
  readonly toShellStitched: Readonly<DirectionCounters>;
  /** What a switch needs to go on with it; while it is stitched, or closing after that. */
  readonly saved?: SavedFlow;
  /** Times are milliseconds since the Unix epoch. */
  readonly openedAt: number;
  /** Set before the data path is asked to stitch: from then on the cut may have been made. */
  readonly enabledAt?: number;
  readonly stitchedAt?: number;
  readonly closedAt?: number;
  /** Beginning of each state, in order. */
  readonly history: readonly { readonly state: FlowState; readonly at: number }[];
}

export interface FlowFilter {
  readonly state?: FlowState;
  readonly agent?: string;
}

export interface TableLimits {
  /** How long a flow that has ended is kept. */
  readonly keepClosedMs: number;
  /** How many of those are kept; the one that ended first goes first. */
  readonly maxClosed: number;
}

export type TableState =
  /** What is put is saved. */
  | 'up'
  /** Something answers, but does not take everything; `reason` says why. */
  | 'degraded'
  /** Nothing answers. */
  | 'down';

export interface TableStatus {
  readonly kind: 'memory' | 'redis';
  readonly state: TableState;
  /** Why it is not `up`. */
  readonly reason?: string;
  readonly counters: Readonly<Record<string, number>>;
}

/** The part of a table that only looks. */
export interface FlowReader {
  get(id: string): Promise<FlowRecord | undefined>;
  /** In the order in which they were opened. */
  list(filter?: FlowFilter): Promise<FlowRecord[]>;
}

/** `start` resolves when all that was saved before is there; `stop` saves what is not saved yet. */
export interface FlowTable extends FlowReader, Startable {
  /** The record is in the table when this resolves; whether it is saved already is up to `secure`. */
  put(record: FlowRecord): Promise<void>;
  /**
   * To be asked before a flow is cut: resolves when its record is saved as safely as the table is meant to
   * save it. Rejects with SUT_TABLE_UNAVAILABLE or SUT_TABLE_LEASE when that can't be done now.
   */
  secure(id: string): Promise<void>;
  /** The records themselves, in no order: for who only looks at them, and at once. `list` takes its time for copies. */
  records(): Iterable<FlowRecord>;
  /** False when there was no such flow. */
  delete(id: string): Promise<boolean>;
  /** Forgets the flows that ended long enough before `now`; gives their ids. */
  expire(now: number): Promise<string[]>;
  status(): TableStatus;
}

/** What a list holds of `records`, by its filter and in its order. */
export function listed(records: Iterable<FlowRecord>, { state, agent }: FlowFilter): FlowRecord[] {
  const found: FlowRecord[] = [];
  for (const record of records) {
    if (state !== undefined && record.state !== state) continue;
    if (agent !== undefined && record.agent !== agent) continue;
    found.push(record);
  }
  return found.sort((a, b) => a.openedAt - b.openedAt);
}
