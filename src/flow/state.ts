/** Flow states and reasons: the names that the data paths, the control protocol, the CLI and the docs share. */

export const FLOW_STATES = [
  'watched',
  'relayed',
  'clamping',
  'cutting',
  'stitched',
  'closing',
  'closed',
  'refused',
  'broken',
] as const;
export type FlowState = (typeof FLOW_STATES)[number];

/** Why a flow stays relayed for good. */
export const REFUSAL_REASONS = [
  'timestamps-differ',
  'ecn-differs',
  'tcp-md5',
  'tcp-ao',
  'mptcp-active',
  'unknown-option',
  'family-differs',
  'handshake-not-seen',
  'offsets-impossible',
  'closing-before-cut',
  'limit-reached',
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** Why a flow ended with a reset at both ends that neither end asked for. */
export const BROKEN_REASONS = ['shell-lost', 'drain-timeout', 'fin-unacknowledged'] as const;
export type BrokenReason = (typeof BROKEN_REASONS)[number];

/**
 * How a flow ended. Peer and core name the end that sent the deciding RST; `fin` is a close by both;
 * `switch-lost` that the switch which carried it is gone, and nobody knows what became of it.
 */
export const CLOSE_REASONS = [
  'fin',
  'reset-by-peer',
  'reset-by-core',
  'reset-by-shell',
  'idle',
  'released',
  'switch-lost',
] as const;
export type CloseReason = (typeof CLOSE_REASONS)[number];

/**
 * What is done with a FIN or a RST of a stitched flow. `core` and `both` pass it on at once, `control` and `shell`
 * hold it until an agent lets it go on; who is told what is the control part's.
 */
export const TEARDOWN_MODES = ['core', 'control', 'shell', 'both'] as const;
export type TeardownMode = (typeof TEARDOWN_MODES)[number];

export type FlowReason = RefusalReason | BrokenReason | CloseReason;

export interface DirectionCounters {
  /** Packets that came from the sending end. */
  packets: number;
  /** Bytes of the stream, each counted once however often it was sent. */
  bytes: number;
}
