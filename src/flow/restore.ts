/**
 * A stitched flow as another switch can go on with it: what is constant once it is stitched, and some of the numbers
 * that its ends had when it was saved.
 *
 * The numbers may be old, by any distance, so nothing is compared with them. A restored flow is translated from its
 * first packet on, which needs constants only, but until it has heard from an end the switch says nothing by itself:
 * no ack in an end's place, no lifted ack, no end of the flow. The first packet of an end tells where it stands.
 */
import { TcpFlag, type TcpSegment } from '../wire/segment.js';
import { seqAdd, seqMax, seqNum } from '../wire/seq.js';
import type { Tuple } from '../wire/tuple.js';
import { Connection } from './connection.js';
import { Flow, Mode } from './flow.js';
import type { DirectionCounters, FlowState, TeardownMode } from './state.js';

/** A window holds at most 2³⁰ bytes (RFC 7323 section 2.2), so no packet is older than that. */
export const RECENT = 2 ** 30;

/** Of the end X and the shell in X's place; numbers are unsigned, 32 bits. */
export interface SavedConnection {
  readonly delta: number;
  readonly tsDelta: number;
  readonly farScale: number;
  readonly shellScale: number;
  readonly farMss: number;
  readonly shellMss: number;
  readonly timestamps: boolean;
  readonly sack: boolean;
  readonly ecn: boolean;
  /** Sequence number after X's FIN, if it sent one. */
  readonly finEnd?: number;
  /** As of when it was saved: highest number that X sent, X's last ack, the highest ack that X was given. */
  readonly farMax: number;
  readonly farAck: number;
  readonly toldAck: number;
}

export interface SavedFlow {
  readonly outer: SavedConnection;
  readonly inner: SavedConnection;
}

/** In these a flow that was stitched still has both its ends. */
export type RestorableState = Extract<FlowState, 'stitched' | 'closing'>;

/** What a restored flow goes on with beside its connections. */
export interface Past {
  readonly state: RestorableState;
  /** From the far ends, up and down. */
  readonly up: Readonly<DirectionCounters>;
  readonly down: Readonly<DirectionCounters>;
  readonly history: readonly { readonly state: FlowState; readonly at: number }[];
}

export function isRestorable(state: FlowState): state is RestorableState {
  return state === 'stitched' || state === 'closing';
}

/** False for a flow that another switch can't go on with: the shell has a part of it, or it has ended. */
export function isSavable({ mode, state }: Pick<Flow, 'mode' | 'state'>): boolean {
  return mode === Mode.Direct && isRestorable(state);
}

export function saveFlow(flow: Flow): SavedFlow | undefined {
  if (!isSavable(flow)) return undefined;
  return { outer: saveConnection(flow.outer), inner: saveConnection(flow.inner) };
}

function saveConnection(x: Connection): SavedConnection {
  const { far, shell, timestamps, sack, ecn } = x;
  return {
    delta: x.delta >>> 0,
    tsDelta: x.tsDelta >>> 0,
    farScale: far.windowScale,
    shellScale: shell.windowScale,
    farMss: far.mss,
    shellMss: shell.mss,
    timestamps,
    sack,
    ecn,
    ...(far.finSeen && { finEnd: far.finEnd }),
    farMax: far.max,
    farAck: far.ack,
    toldAck: x.toldAck,
  };
}

/**
 * How a restored flow does its teardown: as before, unless an end had sent its FIN. Nobody knows how much of that FIN
 * was passed on, so the flow goes on as if nothing were held.
 */
export function restoredTeardown({ outer, inner }: SavedFlow, teardown: TeardownMode): TeardownMode {
  return outer.finEnd === undefined && inner.finEnd === undefined ? teardown : 'core';
}

/** `tuples`: of packets to the shell. The flow is in no table yet. */
export function restoredFlow(
  id: string,
  tuples: { readonly outer: Tuple; readonly inner: Tuple },
  saved: SavedFlow,
  past: Past,
  teardown: TeardownMode,
  now: number,
): Flow {
  const connections = (['outer', 'inner'] as const).map((side) => {
    const x = new Connection(side, tuples[side], tuples[side].reversed(), now);
    fill(x, saved[side], side === 'outer' ? past.up : past.down);
    return x;
  });
  const flow = new Flow(id, connections[0] as Connection, connections[1] as Connection);
  flow.mode = Mode.Direct;
  flow.state = past.state;
  flow.restored = true;
  flow.teardown = restoredTeardown(saved, teardown);
  flow.history.push(...past.history);
  return flow;
}

function fill(x: Connection, saved: SavedConnection, { packets, bytes }: Readonly<DirectionCounters>): void {
  const { far, shell } = x;
  x.delta = saved.delta | 0;
  x.tsDelta = saved.tsDelta | 0;
  x.timestamps = saved.timestamps;
  x.sack = saved.sack;
  x.ecn = saved.ecn;
  x.toldAck = seqNum(saved.toldAck);
  x.becomeEstablished();
  for (const sender of [far, shell]) sender.synSeen = true;
  far.windowScale = saved.farScale;
  shell.windowScale = saved.shellScale;
  far.mss = saved.farMss;
  shell.mss = saved.shellMss;
  far.max = seqNum(saved.farMax);
  far.ack = seqNum(saved.farAck);
  far.packets = packets;
  far.bytes = bytes;
  if (saved.finEnd !== undefined) {
    far.finSeen = true;
    far.finEnd = seqNum(saved.finEnd);
    x.finReported = true;
  }
}

/**
 * Takes from a packet of X's where a restored flow stands, before the packet is tracked: X's own numbers from the
 * first one, and from each one what Y must have sent at least, because X acknowledges it.
 */
export function relearn(x: Connection, segment: TcpSegment): void {
  if (segment.has(TcpFlag.Syn) || segment.has(TcpFlag.Rst)) return;
  const y = x.other;
  const { far } = x;
  if (!far.heard) {
    far.heard = true;
    far.max = segment.seq;
    far.dataMax = segment.seq;
    far.ackSeen = false;
    x.transparentFrom = seqAdd(segment.seq, -RECENT);
    y.shell.max = seqAdd(segment.seq, x.delta);
  }
  if (!segment.has(TcpFlag.Ack)) return;
  const acked = seqAdd(segment.ack, -y.delta);
  if (y.far.heard) {
    y.far.max = seqMax(y.far.max, acked);
  } else {
    y.far.max = acked;
    y.transparentFrom = seqAdd(acked, -RECENT);
    x.shell.max = segment.ack;
  }
}

/** Forgets where a flow's ends stand: from now on its packets may take ways where they are not seen. */
export function unlearn(flow: Flow): void {
  flow.restored = true;
  flow.yielded = false;
  for (const x of [flow.outer, flow.inner]) {
    x.far.heard = false;
    x.toldAny = false;
    x.steeredAt = undefined;
    x.askedAt = undefined;
  }
}

/** False while the switch can't speak in an end's place, nor judge where the ends stand. */
export function knowsWhereItStands({ restored, outer, inner }: Flow): boolean {
  return !restored || (outer.far.heard && inner.far.heard && outer.toldAny && inner.toldAny);
}
