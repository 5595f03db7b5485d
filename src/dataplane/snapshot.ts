/** A flow as the control part sees it. */
import type { Flow } from '../flow/flow.js';
import { saveFlow } from '../flow/restore.js';
import { FLOW_STATES, type FlowState } from '../flow/state.js';
import type { TcpSegment } from '../wire/segment.js';
import type { FlowEvent, FlowSnapshot, FlowStates, SegmentFacts } from './port.js';

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

export interface BriefFlow {
  readonly id: string;
  readonly state: FlowState;
  readonly savable: boolean;
}

export function statesOf(flows: readonly BriefFlow[]): FlowStates {
  return {
    ids: flows.map(({ id }) => id),
    states: Uint8Array.from(flows, ({ state }) => FLOW_STATES.indexOf(state)),
    savable: Uint8Array.from(flows, ({ savable }) => (savable ? 1 : 0)),
  };
}

/** What the engine tells of a flow, with what lasts of the segment that it tells of. */
export function eventOf(
  flow: Flow,
  kind: FlowEvent['kind'],
  from: FlowEvent['from'],
  segment: TcpSegment | undefined,
  epochOffset: number,
): FlowEvent {
  const event = { kind, flow: snapshotOf(flow, epochOffset, true) };
  if (from === undefined) return event;
  const end = from === 'peer' ? flow.outer : flow.inner;
  const held = kind === 'fin' ? end.finHeld : end.resetHeld;
  return { ...event, from, ...(segment && { segment: factsOf(segment) }), ...(held && { held }) };
}

function factsOf({ seq, ack, flags, window, payloadLength }: TcpSegment): SegmentFacts {
  return { seq, ack, flags, window, payloadLength };
}
