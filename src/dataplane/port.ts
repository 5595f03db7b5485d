/**
 * What the control part of a switch needs of a data path. Whatever implements it behaves as the flow engine
 * says, packet for packet.
 *
 * Every request is atomic: it is done when its promise resolves, and a rejected one (`SutureError`) changed
 * nothing.
 */
import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from '../flow/endpoints.js';
import type { Past, SavedFlow } from '../flow/restore.js';
import type { DirectionCounters, FlowReason, FlowState, TeardownMode } from '../flow/state.js';

export interface PairRequest {
  /** The id that the control part gives the flow. */
  readonly id: string;
  readonly outer: ConnectionEndpoints;
  readonly inner: ConnectionEndpoints;
}

export interface FlowSnapshot {
  readonly id: string;
  readonly state: FlowState;
  readonly reason?: FlowReason;
  readonly up: DirectionCounters;
  readonly down: DirectionCounters;
  /** What this flow sent to the shell since it was stitched; 0 unless something is wrong. */
  readonly toShellStitched: DirectionCounters;
  /** What it joins; told by a data path that keeps flows while no process is there, for the next one. */
  readonly ends?: { readonly outer: ConnectionEndpoints; readonly inner: ConnectionEndpoints };
  /** As it was asked for with `enable`; told together with `ends`. */
  readonly teardown?: TeardownMode;
  /** What another switch needs to go on with it; told with events, and where it is asked for. */
  readonly saved?: SavedFlow;
  /** Time of each state's beginning, milliseconds since the Unix epoch, in order. */
  readonly history: readonly { readonly state: FlowState; readonly at: number }[];
}

/** Lists of the same length, one entry a flow. */
export interface FlowStates {
  readonly ids: readonly string[];
  /** As numbered in `FLOW_STATES`. */
  readonly states: Uint8Array;
  /** 1 where another switch could go on with it: where a snapshot has `saved`. */
  readonly savable: Uint8Array;
}

/** A stitched flow of another switch, or of a run before this one. Times as in a snapshot. */
export interface RestoreRequest extends PairRequest {
  readonly saved: SavedFlow;
  readonly past: Past;
  /** As it was asked for with `enable`. */
  readonly teardown: TeardownMode;
}

export type FlowEventKind = 'state' | 'fin' | 'rst';

export type FlowSide = 'peer' | 'core';

/** A FIN or RST as its sender sent it, in the numbers of its own connection. */
export interface SegmentFacts {
  readonly seq: number;
  readonly ack: number;
  /** `TcpFlag` bits. */
  readonly flags: number;
  /** The field, unscaled. */
  readonly window: number;
  readonly payloadLength: number;
}

export interface FlowEvent {
  readonly kind: FlowEventKind;
  readonly flow: FlowSnapshot;
  /** For `fin` and `rst`: which end sent it, and what. */
  readonly from?: FlowSide;
  readonly segment?: SegmentFacts;
  /** It goes on to the other end only when `proceed` is called, or its time is over. */
  readonly held?: boolean;
}

/** A frame, its Ethernet header first, and the interface that it came in by. The bytes hold until the call returns. */
export type OnFrame = (device: string, bytes: Buffer, length: number) => void;

export interface DataPlane {
  readonly kind: 'userspace' | 'kernel';
  /** Flows can be restored and asked for; packets are carried from `forward` on. */
  start(): Promise<void>;
  /** Asking again changes nothing: a standby carries packets already when it takes over. */
  forward(): Promise<void>;
  stop(): Promise<void>;
  /** As `stop`, but what can go on without this process does: another one takes it over. */
  leave(): Promise<void>;
  /** Goes on with stitched flows; gives the ids of those that it has now, or had before. */
  restore(flows: Iterable<RestoreRequest>): Promise<string[]>;
  /** Lets go of flows without a word to their ends: another switch carries them, or they have ended there. */
  drop(ids: readonly string[]): Promise<void>;
  /** From now on packets from and to these ports are carried by the data path, not by the host. */
  own(ports: readonly OwnedPorts[]): Promise<void>;
  disown(ports: readonly OwnedPorts[]): Promise<void>;
  /** Joins an outer connection that was seen from its SYN on with the inner one that the shell is about to open. */
  pair(request: PairRequest): Promise<FlowSnapshot>;
  /** Asks that a paired flow be stitched. Progress comes as events; a refusal too. */
  enable(id: string, offsets: StitchOffsets, teardown: TeardownMode): Promise<FlowSnapshot>;
  /** Lets a held FIN or RST of that end's go on. Where nothing is held, nothing changes. */
  proceed(id: string, from: FlowSide): Promise<FlowSnapshot>;
  /** Takes a flow that is not stitched out of the watch (it goes on relayed), or resets one that is. */
  close(id: string): Promise<FlowSnapshot>;
  /**
   * Another switch of the group leads from now on, and this one carries stitched flows beside it: what it can't judge goes
   * to the leader, by whose MAC addresses it is given, by interface. Undefined: this one leads.
   */
  steer(leader: Readonly<Record<string, string>> | undefined): Promise<void>;
  /** Those of `ids`, or all; with `saved` where that is asked for. */
  list(withSaved?: boolean, ids?: readonly string[]): Promise<FlowSnapshot[]>;
  /** All flows, in as few words as a start with 100,000 of them has time for. */
  states(): Promise<FlowStates>;
  /** Counters by name, of packets unless the name says otherwise. */
  counters(): Promise<Record<string, number>>;
  onEvent(listener: (event: FlowEvent) => void): void;
  /** While it steers: a packet came of a flow that it may not have been given yet. Not called for each. */
  onMiss(listener: () => void): void;
}
