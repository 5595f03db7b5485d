/**
 * The flow table: what a switch knows of its flows, those that have ended for a while included.
 *
 * Every implementation passes `test/contract/table.ts`. Records go in and come out by value: changing one
 * changes nothing in the table. An id is put again with its new state; a record with `closedAt` has ended
 * and will be forgotten by `expire`, or earlier when there are too many of its kind.
 */
import type { ConnectionEndpoints } from '../flow/endpoints.js';
import type { DirectionCounters, FlowReason, FlowState } from '../flow/state.js';

export interface FlowRecord {
  readonly id: string;
  readonly state: FlowState;
  readonly reason?: FlowReason;
  /** Name of the shell agent whose flow it is. */
  readonly agent: string;
  /** In both, `local` is the shell's end. */
  readonly outer: ConnectionEndpoints;
  readonly inner: ConnectionEndpoints;
  readonly up: Readonly<DirectionCounters>;
  readonly down: Readonly<DirectionCounters>;
  /** What the flow sent to the shell since it was stitched. */
  readonly toShellStitched: Readonly<DirectionCounters>;
  /** Times are milliseconds since the Unix epoch. */
  readonly openedAt: number;
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

export interface FlowTable {
  put(record: FlowRecord): Promise<void>;
  get(id: string): Promise<FlowRecord | undefined>;
  /** In the order in which they were opened. */
  list(filter?: FlowFilter): Promise<FlowRecord[]>;
  /** False when there was no such flow. */
  delete(id: string): Promise<boolean>;
  /** Forgets the flows that ended long enough before `now`; gives their ids. */
  expire(now: number): Promise<string[]>;
  /** Lets go of what the table holds open. */
  close(): Promise<void>;
}
