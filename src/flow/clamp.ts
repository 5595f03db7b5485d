/**
 * The clamp: before the cut, the windows that the shell offers are limited to what the far ends can take, so
 * that nothing in flight at the cut can overrun them. An edge once told is never taken back, so the clamp
 * waits until what was promised fits.
 *
 * What an end has no room for stays where it is until its program reads, perhaps for ever (RFC 9293 section 3.8.6.1), and
 * a drain may not last for ever. So nothing is cut before both ends have room for all that the shell holds for them; until
 * then the flow is relayed, which can last as long as it likes.
 */
import type { TcpSegment } from '../wire/segment.js';
import { type SeqNum, seqAdd, seqDiff, seqMax, seqMin } from '../wire/seq.js';
import type { Connection } from './connection.js';
import { emitBareAck, farAck, farEdge, windowField } from './mapping.js';
import type { Outbox } from './outbox.js';

/**
 * A ping-pong flow never closes the last few bytes between two windows by itself. With this much room left
 * the end will not fill the window anyway, so being off by a little does no harm.
 */
const SLACK_BYTES = 4096;
const SLACK_WINDOW_LEFT = 16384;

/** More than any window (RFC 7323 section 2.3). */
const NO_CAP = 2 ** 30;

/** How much may be on the way to an end. What takes longer than the clamp should is not slowed down by it. */
export function capAt(now: number, deadline: number, cap: number): number {
  return now < deadline ? cap : NO_CAP;
}

/** The right edge that X may be told now; `cap` limits the bytes on the way to Y. */
function allowedEdge(x: Connection, cap: number): SeqNum {
  const fits = seqMin(farEdge(x), seqAdd(farAck(x), cap));
  return seqMax(x.toldMax, seqMin(x.shell.edge, fits));
}

/** Limits the window of a segment from the shell to X. Returns true when the segment was changed. */
export function clampWindow(x: Connection, segment: TcpSegment, cap: number): boolean {
  const window = windowField(allowedEdge(x, cap), segment.ack, x.shell.windowScale);
  if (window >= segment.window) return false;
  segment.window = window;
  return true;
}

/**
 * Tells X of a window that has grown, since the shell, which believes that it told X more already, will not.
 * Growth of `step` is worth a packet, and any segment's worth to an end that is out of window.
 */
export function announceGrowth(x: Connection, cap: number, step: number, out: Outbox): void {
  const edge = allowedEdge(x, cap);
  const growth = seqDiff(edge, x.toldMax);
  const stuck = seqDiff(x.toldMax, x.far.max) < x.shell.mss;
  if (growth >= step || (stuck && growth >= x.shell.mss)) emitBareAck(x, x.shell.ack, edge, out);
}

/** True when all that X was ever promised is what Y can take, or near enough. */
function fits(x: Connection): boolean {
  const slack = seqDiff(x.toldMax, x.far.max) > SLACK_WINDOW_LEFT ? SLACK_BYTES : 0;
  return seqDiff(x.toldMax, seqAdd(farEdge(x), slack)) <= 0;
}

/** True when a cut overruns nobody. */
export function readyToCut(outer: Connection, inner: Connection): boolean {
  return fits(outer) && fits(inner);
}

/** True when Y's kernel can take all that X has sent so far, whether its program reads or not. */
function hasRoom(x: Connection): boolean {
  return seqDiff(x.far.max, farEdge(x)) <= 0;
}

/** True when a cut can be drained, though an end may be overrun by what it was promised and has not sent. */
export function drainable(outer: Connection, inner: Connection): boolean {
  return hasRoom(outer) && hasRoom(inner);
}

/** True when X's bytes have all been acknowledged by the shell and by Y, and the shell holds none. */
function pipelineEmpty(x: Connection): boolean {
  return (
    x.shell.ack === x.far.max && farAck(x) === x.far.max && seqAdd(x.far.max, x.delta) === x.other.shell.max
  );
}

/** True when nothing is under way in either direction: the flip needs no drain. */
export function pipelinesEmpty(outer: Connection, inner: Connection): boolean {
  return pipelineEmpty(outer) && pipelineEmpty(inner);
}
