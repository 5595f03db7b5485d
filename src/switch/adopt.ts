/** Records of flows and what the data path says of them, put together; also those of a run before this one. */
import type { FlowSnapshot, RestoreRequest } from '../dataplane/port.js';
import { isRestorable } from '../flow/restore.js';
import type { AdoptedFlow } from '../midcom/transactions.js';
import { lostFlow } from '../table/lost.js';
import type { FlowRecord } from '../table/port.js';
import { turnRestore, turnSnapshot } from './orientation.js';

/** What the data path doesn't know of a flow. */
export type Identity = Pick<
  FlowRecord,
  'id' | 'agent' | 'outer' | 'inner' | 'openedAt' | 'enabledAt' | 'openedBy' | 'stitchCause' | 'teardown'
>;

export interface Kept {
  readonly record: FlowRecord;
  readonly snapshot: FlowSnapshot;
  /** As the table had it. */
  readonly before: FlowRecord;
}

export interface Sorted {
  /** Flows that the data path still has, with what they are now. */
  readonly kept: readonly Kept[];
  /** Records of stitched flows that it has not, but can go on with. */
  readonly restorable: readonly FlowRecord[];
  /** Flows that it has, and that have ended elsewhere. */
  readonly stale: readonly string[];
  /** Records of other flows that it has not, as they ended. */
  readonly lost: readonly FlowRecord[];
  /** Flows that it has, and of which the table knows nothing. */
  readonly unknown: readonly FlowSnapshot[];
}

/**
 * What a switch that starts does with the open flows of its table. A data path that begins with the switch has none of
 * them; one that outlives it may have any, and some that the table never learned of.
 */
export function sortOut(records: readonly FlowRecord[], live: readonly FlowSnapshot[], now: number): Sorted {
  const alive = new Map(live.map((snapshot) => [snapshot.id, snapshot]));
  const kept: Kept[] = [];
  const restorable: FlowRecord[] = [];
  const stale: string[] = [];
  const lost: FlowRecord[] = [];
  for (const record of records) {
    const snapshot = alive.get(record.id);
    alive.delete(record.id);
    if (record.closedAt !== undefined) {
      if (snapshot && !isOver(snapshot)) stale.push(record.id);
      continue;
    }
    if (snapshot) kept.push({ record: recordOf(identityOf(record), snapshot), snapshot, before: record });
    else if (requestFor(record)) restorable.push(record);
    else lost.push(lostFlow(record, now));
  }
  return { kept, restorable, stale, lost, unknown: [...alive.values()] };
}

export function isOver({ state }: Pick<FlowSnapshot, 'state'>): boolean {
  return state === 'closed' || state === 'broken';
}

/** What the data path needs to go on with a flow; undefined when it can't. */
export function requestFor(record: FlowRecord | undefined): RestoreRequest | undefined {
  if (!record) return undefined;
  const { id, outer, inner, saved, state, up, down, history, teardown = 'core' } = record;
  if (!saved || !isRestorable(state) || record.closedAt !== undefined) return undefined;
  const request = { id, outer, inner, saved, past: { state, up, down, history }, teardown };
  return isTurned(record) ? turnRestore(request) : request;
}

/**
 * A record for a flow that only the data path has; undefined when its ends or its agent can't be told. The data path's
 * outer connection is the one that came to the shell: when that came from a core, the core opened the flow.
 */
export function foundFlow(
  snapshot: FlowSnapshot,
  agentOf: (address: string) => string | undefined,
  isCore: (address: string) => boolean,
): FlowRecord | undefined {
  const { ends, history, id, teardown } = snapshot;
  const agent = ends && agentOf(ends.outer.local.address);
  if (!ends || agent === undefined) return undefined;
  const byCore = isCore(ends.outer.remote.address) && !isCore(ends.inner.remote.address);
  const identity: Identity = {
    id,
    agent,
    ...(byCore ? { outer: ends.inner, inner: ends.outer, openedBy: 'core' } : ends),
    openedAt: history[0]?.at ?? 0,
    ...(teardown && { teardown }),
  };
  return recordOf(identity, snapshot);
}

/** For its agents. One that was about to be enabled when its switch was lost may be enabled again. */
export function forAgents({
  id,
  agent: shell,
  outer,
  inner,
  teardown = 'core',
  state,
}: FlowRecord): AdoptedFlow {
  return { id, shell, outer, inner, teardown, isEnabled: state !== 'watched' && state !== 'relayed' };
}

export function identityOf(record: FlowRecord): Identity {
  const { id, agent, outer, inner, openedAt, enabledAt, openedBy, stitchCause, teardown } = record;
  return {
    id,
    agent,
    outer,
    inner,
    openedAt,
    ...(enabledAt !== undefined && { enabledAt }),
    ...(openedBy !== undefined && { openedBy }),
    ...(stitchCause !== undefined && { stitchCause }),
    ...(teardown !== undefined && { teardown }),
  };
}

/** The table need not be told again. */
export function isSame(record: FlowRecord, before: FlowRecord): boolean {
  return record.state === before.state && (record.saved === undefined) === (before.saved === undefined);
}

export function isTurned({ openedBy }: Pick<FlowRecord, 'openedBy'>): boolean {
  return openedBy === 'core';
}

/** `told`: as the data path has it. */
export function recordOf(identity: Identity, told: FlowSnapshot): FlowRecord {
  const snapshot = isTurned(identity) ? turnSnapshot(told) : told;
  const { history, state, reason, saved } = snapshot;
  const stitchedAt = history.find((step) => step.state === 'stitched')?.at;
  const closedAt = history.find((step) => step.state === 'closed' || step.state === 'broken')?.at;
  return {
    ...identity,
    state,
    ...(reason !== undefined && { reason }),
    up: snapshot.up,
    down: snapshot.down,
    toShellStitched: snapshot.toShellStitched,
    ...(saved && { saved }),
    history,
    ...(stitchedAt !== undefined && { stitchedAt }),
    ...(closedAt !== undefined && { closedAt }),
  };
}
