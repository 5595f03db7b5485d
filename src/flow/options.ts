/** What a flow engine is told at its making. */
import type { TcpSegment } from '../wire/segment.js';
import type { Flow } from './flow.js';

/** All times in milliseconds. */
export interface EngineOptions {
  /** The cut is made this long after the request at the latest, windows or not. */
  readonly clampDeadline: number;
  /** A drain that takes longer breaks the flow. */
  readonly drainLimit: number;
  /** A FIN or RST that is held goes on by then, whoever has not answered. */
  readonly teardownLimit: number;
  /** A flow that ended with FINs is translated for this long after. */
  readonly lingerClosed: number;
  /** … and one that ended with a reset for this long. */
  readonly lingerReset: number;
  /** RFC 5382 REQ-5: at least 2 h 4 min. */
  readonly idle: number;
  /** A handshake that is not complete by then is forgotten. */
  readonly halfOpen: number;
  /** Most bytes on their way from one end to the other while a flow is clamped. */
  readonly clampCap: number;
  /** Most connections that belong to no flow (yet). */
  readonly maxUnpaired: number;
  /** Other switches of the group carry packets too: `carry.ts`, `share.ts`. */
  readonly shared: boolean;
}

export const DEFAULT_ENGINE_OPTIONS: EngineOptions = {
  clampDeadline: 200,
  drainLimit: 30_000,
  teardownLimit: 5_000,
  lingerClosed: 240_000,
  lingerReset: 60_000,
  idle: 7_440_000,
  halfOpen: 60_000,
  clampCap: 1 << 20,
  maxUnpaired: 65_536,
  shared: false,
};

/** `segment`: the FIN or RST as its sender sent it, valid during the call. */
export type EngineListener = (
  flow: Flow,
  kind: 'state' | 'fin' | 'rst',
  from: 'peer' | 'core' | undefined,
  segment: TcpSegment | undefined,
) => void;
