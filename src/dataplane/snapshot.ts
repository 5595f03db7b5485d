/** A flow as the control part sees it. */
import type { Flow } from '../flow/flow.js';
import { saveFlow } from '../flow/restore.js';
import type { FlowSnapshot } from './port.js';

/** `epochOffset`: wall-clock milliseconds at the engine's time 0. */
export function snapshotOf(flow: Flow, epochOffset: number, withSaved = false): FlowSnapshot {
  const { outer, inner } = flow;
  const saved = withSaved ? saveFlow(flow) : undefined;
  return {
    id: flow.id,
    state: flow.state,
    ...(flow.reason && { reason: flow.reason }),
    up: { packets: outer.far.packets, bytes: outer.far.bytes },
    down: { packets: inner.far.packets, bytes: inner.far.bytes },
    toShellStitched: { packets: flow.toShellPackets, bytes: flow.toShellBytes },
    ...(saved && { saved }),
    history: flow.history.map(({ state, at }) => ({ state, at: Math.round(at + epochOffset) })),
  };
}
