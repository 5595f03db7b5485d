/** A flow whose switch is gone, and with it what it knew. */
import type { FlowState } from '../flow/state.js';
import type { FlowRecord } from './port.js';

/** In these the switch carries a part of the connection at least. */
const CUT: ReadonlySet<FlowState> = new Set(['cutting', 'stitched']);
/** A flow that was enabled in one of these may have gone further than its record says. */
const BEFORE_CUT: ReadonlySet<FlowState> = new Set(['watched', 'relayed', 'clamping']);

/** The record of an open flow that nobody carries any more, as it ended. One that has ended stays as it is. */
export function lostFlow(record: FlowRecord, now: number): FlowRecord {
  if (record.closedAt !== undefined) return record;
  return {
    ...record,
    state: 'closed',
    // A connection that was not cut goes on through its shell as if there had been no switch.
    reason: wasCut(record) ? 'switch-lost' : 'released',
    closedAt: now,
    history: [...record.history, { state: 'closed', at: now }],
  };
}

function wasCut({ state, history, enabledAt }: FlowRecord): boolean {
  if (history.some((step) => CUT.has(step.state)) || CUT.has(state)) return true;
  return enabledAt !== undefined && BEFORE_CUT.has(state);
}
