/**
 * The flow engine: (tuple, segment, now) → verdict and outgoing segments. Pure: no I/O, no clock, no bytes.
 * (Interface only here; the body follows.)
 */

import type { TcpSegment } from '../wire/segment.js';
import type { Tuple } from '../wire/tuple.js';
import type { ConnectionEndpoints, OwnedPorts } from './endpoints.js';
import type { FlowReason, FlowState } from './state.js';

/** What to do with the packet that was received. */
export const Verdict = {
  /** None of ours: the host forwards it by itself; do nothing. */
  Host: 0,
  /** Ours, and to be sent on byte for byte (TTL aside). */
  Pass: 1,
  /** Ours: send what the outbox holds, which may be nothing, and nothing else. */
  Emit: 2,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** One segment to send. */
export interface Emission {
  /** Addresses and ports to send it with. */
  readonly tuple: Tuple;
  /** Header fields to send it with; `payloadLength` is `payloadEnd - payloadStart`. */
  readonly segment: TcpSegment;
  /** The part of the received packet's payload that it carries; empty for a segment that the engine made. */
  readonly payloadStart: number;
  readonly payloadEnd: number;
  /** True: made by the engine, without a received packet (bare ack, reset). False: the received one, edited. */
  readonly made: boolean;
  /** Largest payload plus TCP options that the receiver takes in one segment (its MSS, RFC 6691). */
  readonly mss: number;
}

/** Emissions of one call; reused, so use them before the next call. */
export interface Outbox {
  readonly count: number;
  at(index: number): Emission;
}

export interface EngineEvent {
  readonly id: string;
  readonly kind: 'state' | 'fin' | 'rst';
  readonly state: FlowState;
  readonly reason?: FlowReason;
  readonly from?: 'peer' | 'core';
}

export interface FlowEngine {
  own(ports: OwnedPorts): void;
  disown(ports: OwnedPorts): void;
  receive(tuple: Tuple, segment: TcpSegment, now: number): Verdict;
  /** Runs what is due by `now` (milliseconds); call at least every millisecond while `busy`. Fills the outbox. */
  tick(now: number): void;
  readonly busy: boolean;
  readonly outbox: Outbox;
  pair(id: string, outer: ConnectionEndpoints, inner: ConnectionEndpoints, now: number): void;
  enable(id: string, offsets: object, now: number): void;
  state(id: string): FlowState;
}
