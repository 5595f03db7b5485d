/** Records of flows and what the data path says of them, put together; also those of a run before this one. */

import type { FlowSnapshot, FlowStates, RestoreRequest } from '../dataplane/port.js';
import { isRestorable } from '../flow/restore.js';
import { FLOW_STATES, type FlowState } from '../flow/state.js';
import type { AdoptedFlow } from '../midcom/transactions.js';
import type { Writable } from '../platform/writable.js';
import { lostFlow } from '../table/lost.js';
import type { FlowRecord } from '../table/port.js';
import { turnRestore, turnSnapshot } from './orientation.js';

/** What the data path doesn't know of a flow. */
export type Identity = Pick<
  FlowRecord,
  'id' | 'agent' | 'outer' | 'inner' | 'openedAt' | 'enabledAt' | 'openedBy' | 'stitchCause' | 'teardown'
>;

/** What a data path says of a flow in brief. */
export interface Live {
  readonly state: FlowState;
  readonly savable: boolean;
}

export interface Sorted {
  /** Records of flows that the data path still has, as the table knows them. */
  readonly kept: readonly FlowRecord[];
  /** Of flows that it has too, and that have gone on since. */
  readonly changed: readonly FlowRecord[];
  /** Records of stitched flows that it has not, but can go on with. */
  readonly restorable: readonly FlowRecord[];
  /** Flows that it has, and that have ended elsewhere. */
  readonly stale: readonly string[];
  /** Records of other flows that it has not, as they ended. */
  readonly lost: readonly FlowRecord[];
  /** Flows that it has, and of which the table knows nothing. */
  readonly unknown: readonly string[];
}

export function liveFlows({ ids, states, savable }: FlowStates): Map<string, Live> {
  const live = new Map<string, Live>();
  for (const [i, id] of ids.entries()) {
    live.set(id, { state: FLOW_STATES[states[i] ?? 0] as FlowState, savable: savable[i] === 1 });
  }
  return live;
}

/**
 * What a switch that starts does with the open flows of its table. A data path that begins with the switch has none of
 * them; one that outlives it may have any, and some that the table never learned of.
 */
export function sortOut(records: Iterable<FlowRecord>, live: ReadonlyMap<string, Live>, now: number): Sorted {
  const unknown = new Set(live.keys());
  const kept: FlowRecord[] = [];
  const changed: FlowRecord[] = [];
  const restorable: FlowRecord[] = [];
  const stale: string[] = [];
  const lost: FlowRecord[] = [];
  for (const record of records) {
    const flow = live.get(record.id);
    unknown.delete(record.id);
    if (record.closedAt !== undefined) {
      if (flow && !isOver(flow)) stale.push(record.id);
      continue;
    }
    if (flow) (isSame(record, flow) ? kept : changed).push(record);
    else if (requestFor(record)) restorable.push(record);
    else lost.push(lostFlow(record, now));
  }
  return { kept, changed, restorable, stale, lost, unknown: [...unknown] };
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

/** One at a time: the data path needs each for a moment only. */
export function* requestsFor(records: Iterable<FlowRecord>): Generator<RestoreRequest> {
  for (const record of records) {
    const request = requestFor(record);
    if (request) yield request;
  }
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
  // Filled step by step: a start makes 100,000 of them, and a spread takes several times as long.
  const identity: Writable<Identity> = { id, agent, outer, inner, openedAt };
  if (enabledAt !== undefined) identity.enabledAt = enabledAt;
  if (openedBy !== undefined) identity.openedBy = openedBy;
  if (stitchCause !== undefined) identity.stitchCause = stitchCause;
  if (teardown !== undefined) identity.teardown = teardown;
  return identity;
}

/** The table need not be told again. */
function isSame({ state, saved }: FlowRecord, live: Live): boolean {
  return state === live.state && (saved !== undefined) === live.savable;
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
