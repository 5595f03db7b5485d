/**
 * A flow's two connections have names by role: `outer` is the peer's and `inner` the core's, up is from peer to
 * core. The data path names them by order: its outer is the one that came to the shell, its inner the one that
 * the shell opened for it. For a flow that the core opened the two are the other way round, and here, and only
 * here, is where one becomes the other. Turning twice changes nothing.
 */
import type { FlowEvent, FlowSide, FlowSnapshot, PairRequest, RestoreRequest } from '../dataplane/port.js';
import type { StitchOffsets } from '../flow/endpoints.js';
import type { SavedFlow } from '../flow/restore.js';
import type { FlowReason } from '../flow/state.js';

const TURNED_REASONS: Readonly<Partial<Record<FlowReason, FlowReason>>> = {
  'reset-by-peer': 'reset-by-core',
  'reset-by-core': 'reset-by-peer',
};

export function turnPair({ id, outer, inner }: PairRequest): PairRequest {
  return { id, outer: inner, inner: outer };
}

export function turnOffsets(offsets: StitchOffsets): StitchOffsets {
  const { consumedFromPeer, injectedToCore, consumedFromCore, injectedToPeer } = offsets;
  return {
    consumedFromPeer: consumedFromCore,
    injectedToCore: injectedToPeer,
    consumedFromCore: consumedFromPeer,
    injectedToPeer: injectedToCore,
  };
}

export function turnSnapshot(flow: FlowSnapshot): FlowSnapshot {
  const { reason, up, down, saved } = flow;
  return {
    ...flow,
    ...(reason && { reason: TURNED_REASONS[reason] ?? reason }),
    ...(saved && { saved: turnSaved(saved) }),
    up: down,
    down: up,
  };
}

function turnSaved({ outer, inner }: SavedFlow): SavedFlow {
  return { outer: inner, inner: outer };
}

export function turnRestore(request: RestoreRequest): RestoreRequest {
  const { saved, past } = request;
  const { up, down } = past;
  return {
    ...request,
    ...turnPair(request),
    saved: turnSaved(saved),
    past: { ...past, up: down, down: up },
  };
}

export function turnEvent(event: FlowEvent): FlowEvent {
  const flow = turnSnapshot(event.flow);
  if (event.from === undefined) return { ...event, flow };
  return { ...event, flow, from: turnSide(event.from) };
}

export function turnSide(side: FlowSide): FlowSide {
  return side === 'peer' ? 'core' : 'peer';
}
