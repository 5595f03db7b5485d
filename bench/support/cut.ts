/**
 * What a transfer shows around its handover: pauses of the receivers and segments that were sent again, inside of a
 * window and outside of it. For a transfer that was not cut, the window of one that was is laid at the same
 * place. Pure.
 */
import { type BulkReport, type EndReport, type Growth, SHORTEST_PAUSE_MS } from './bulk.js';

/** Milliseconds since the transfer's start. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

export interface CutTimes {
  readonly clamping: number;
  readonly cutting: number;
  readonly stitched: number;
}

/** From the clamping (the switch's records have whole milliseconds) to 30 ms after `stitched`. */
const PAUSE_MARGIN = { before: 1, after: 31 };
/** From before the request; retransmissions may come a round trip and a tail-loss probe later. */
const RETRANS_MARGIN = { before: 5, after: 100 };
/** Slow start is no place to look for pauses. */
const SETTLED_MS = 100;

export interface CutView {
  /** Segments sent again inside of the window, by whom. */
  readonly retrans: { readonly e: number; readonly b: number; readonly a: number };
  /** Longest pause of the receiver at E and at B that touches the window, ms. */
  readonly pause: { readonly e: number; readonly b: number };
  /** The same for the rest of the transfer. */
  readonly elsewhere: { readonly retrans: number; readonly pauseE: number; readonly pauseB: number };
}

export function pauseWindow({ clamping, stitched }: CutTimes): Window {
  return { from: clamping - PAUSE_MARGIN.before, to: stitched + PAUSE_MARGIN.after };
}

export function retransWindow({ clamping, stitched }: CutTimes): Window {
  return { from: clamping - RETRANS_MARGIN.before, to: stitched + RETRANS_MARGIN.after };
}

function sum(growth: readonly Growth[], inside: (ms: number) => boolean): number {
  return growth.reduce((total, [ms, by]) => total + (inside(ms) ? by : 0), 0);
}

function longest({ pauses }: EndReport, counts: (from: number, to: number) => boolean): number {
  const lengths = pauses.filter(([ms, length]) => counts(ms, ms + length)).map(([, length]) => length);
  return Math.max(SHORTEST_PAUSE_MS, ...lengths);
}

/** `sendingMs`: how long both ends sent; what comes after is the end of the transfer. */
export function viewOf({ peer, core }: BulkReport, times: CutTimes, sendingMs: number): CutView {
  const window = pauseWindow(times);
  const counted = retransWindow(times);
  const inside = (ms: number): boolean => ms >= counted.from && ms <= counted.to;
  const outside = (ms: number): boolean => !inside(ms);
  const touches = (from: number, to: number): boolean => to >= window.from && from <= window.to;
  const apart = (from: number, to: number): boolean =>
    !touches(from, to) && from >= SETTLED_MS && to <= sendingMs;
  const shell = peer.hosts.a ?? [];
  return {
    retrans: { e: sum(peer.retrans, inside), b: sum(core.retrans, inside), a: sum(shell, inside) },
    pause: { e: longest(peer, touches), b: longest(core, touches) },
    elsewhere: {
      retrans: sum(peer.retrans, outside) + sum(core.retrans, outside) + sum(shell, outside),
      pauseE: longest(peer, apart),
      pauseB: longest(core, apart),
    },
  };
}

/** What is wrong with what arrived; empty when every byte is the one that was sent. */
export function faults({ peer, core }: BulkReport): string[] {
  const found: string[] = [];
  if (peer.wrongAt >= 0) found.push(`E received a wrong byte at ${peer.wrongAt}`);
  if (core.wrongAt >= 0) found.push(`B received a wrong byte at ${core.wrongAt}`);
  if (peer.sent !== core.received) found.push(`E sent ${peer.sent} bytes, B received ${core.received}`);
  if (core.sent !== peer.received) found.push(`B sent ${core.sent} bytes, E received ${peer.received}`);
  return found;
}
