/**
 * The states of a flow and what leads from one to the next. This table is the only place that knows; the
 * docs print it and a test walks it.
 *
 *   watched ─► relayed ─► clamping ─► cutting ─► stitched ─► closing ─► closed
 *
 * and beside them `refused` (relayed for good) and `broken` (reset at both ends).
 */
import type { FlowState } from './state.js';

export const FLOW_EVENTS = [
  /** Both handshakes are complete. */
  'establish',
  /** The shell asked for the stitch and gave its offsets. */
  'enable',
  /** The windows that the ends were told fit the far ends; after the clamp's deadline, what the ends have sent does. */
  'cut',
  /** Nothing was in flight in either direction, so no drain is needed. */
  'empty',
  /** All that the shell held has been acknowledged by the far ends. */
  'drained',
  /** An end sent a FIN. */
  'fin',
  /** Both ends sent a FIN and each was acknowledged by the other. */
  'finished',
  /** An end sent a RST that counts (RFC 5961 section 3). */
  'reset',
  /** The pair can't be stitched. */
  'refuse',
  /** A handover that can't be completed, or a FIN that was held and can't be delivered. */
  'break',
  /** A person or the shell gave the flow up. */
  'release',
  /** No packet for longer than RFC 5382 REQ-5 allows to forget. */
  'idle',
] as const;
export type FlowMachineEvent = (typeof FLOW_EVENTS)[number];

type Row = Partial<Record<FlowMachineEvent, FlowState>>;

const ENDINGS: Row = { reset: 'closed', release: 'closed', idle: 'closed' };

export const TRANSITIONS: Readonly<Record<FlowState, Readonly<Row>>> = {
  watched: { establish: 'relayed', fin: 'closing', refuse: 'refused', ...ENDINGS },
  relayed: { enable: 'clamping', fin: 'closing', finished: 'closed', refuse: 'refused', ...ENDINGS },
  clamping: { cut: 'cutting', empty: 'stitched', refuse: 'refused', ...ENDINGS },
  cutting: { drained: 'stitched', break: 'broken', ...ENDINGS },
  stitched: { fin: 'closing', finished: 'closed', ...ENDINGS },
  closing: { finished: 'closed', break: 'broken', ...ENDINGS },
  refused: { fin: 'closing', finished: 'closed', ...ENDINGS },
  closed: {},
  broken: {},
};

/** The state that `event` leads to, or undefined where the event means nothing in `state`. */
export function nextState(state: FlowState, event: FlowMachineEvent): FlowState | undefined {
  return TRANSITIONS[state][event];
}
