/**
 * The numbers of one connection in the terms of the other. A connection `x` joins the far end X with the
 * shell, `x.other` joins Y with the shell, and `x.delta` takes X's sequence numbers to the ones that the
 * shell used (or would have used) for the same bytes towards Y. All arithmetic is modulo 2³².
 */
import { OptionBit, TcpFlag, type TcpSegment } from '../wire/segment.js';
import { type SeqNum, seqAdd, seqAfter, seqDiff, seqMax, seqMin } from '../wire/seq.js';
import type { Connection, Sender } from './connection.js';
import type { StitchOffsets } from './endpoints.js';
import type { Outbox } from './outbox.js';

const MAX_WINDOW_FIELD = 0xffff;
const RECENT = 2 ** 30;

/** Fixes the deltas of both connections from their initial sequence numbers and the shell's offsets. */
export function setDeltas(outer: Connection, inner: Connection, offsets: StitchOffsets): void {
  setDelta(outer, inner, offsets.consumedFromPeer, offsets.injectedToCore);
  setDelta(inner, outer, offsets.consumedFromCore, offsets.injectedToPeer);
}

function setDelta(x: Connection, y: Connection, consumed: number, injected: number): void {
  x.delta = (seqDiff(y.shell.isn, x.far.isn) + injected - consumed) | 0;
  const shared = x.far.bytes - consumed;
  x.transparentFrom = seqAdd(x.far.dataMax, -Math.min(shared, RECENT));
}

/**
 * A window holds at most 2³⁰ bytes (RFC 7323 section 2.2), so no packet is older than that. The mark is drawn
 * along behind the acknowledged end: numbers compare only within 2³¹ of each other.
 */
export function keepMarkRecent(x: Connection): void {
  if (!x.toldAny) return;
  if (seqDiff(x.toldAck, x.transparentFrom) > 1.5 * RECENT) x.transparentFrom = seqAdd(x.toldAck, -RECENT);
}

/**
 * False when the offsets contradict what passed: more consumed than X sent, or more relayed to Y than X had
 * sent. What was injected may still be in the shell's kernel, so it has no bound of its own.
 */
export function offsetsPossible(x: Connection, y: Connection, consumed: number, injected: number): boolean {
  return consumed <= x.far.bytes && y.shell.bytes - injected <= x.far.bytes - consumed;
}

/** Y's acknowledgment of X's bytes, as X counts them. */
export function farAck(x: Connection): SeqNum {
  return seqAdd(x.other.far.ack, -x.delta);
}

/** The right edge of Y's window, as X counts bytes. */
export function farEdge(x: Connection): SeqNum {
  return seqAdd(x.other.far.edge, -x.delta);
}

/** What X may be told is acknowledged while the shell still holds bytes: all that A or Y has acknowledged. */
export function combinedAck(x: Connection): SeqNum {
  return seqMax(x.shell.ack, farAck(x));
}

/** The highest sequence number that X was sent, by the shell or directly: without a FIN that is held. */
export function sentToFar(x: Connection): SeqNum {
  const { far, delta, finHeld } = x.other;
  return seqMax(x.shell.max, seqAdd(finHeld ? beforeFin(far) : far.max, delta));
}

/**
 * In a stitched flow: what Y was sent counts as sent by the shell. So that mark is drawn along: numbers compare only within
 * 2³¹ of each other.
 */
export function noteSentDirectly(x: Connection): void {
  x.other.shell.max = sentToFar(x.other);
}

/** The number of a FIN that was sent. */
export function beforeFin(sender: Sender): SeqNum {
  return seqAdd(sender.finEnd, -1);
}

/** The window field for `edge` seen from `ack`, rounded down to the scale. */
export function windowField(edge: SeqNum, ack: SeqNum, scale: number): number {
  const open = seqDiff(edge, ack);
  return open <= 0 ? 0 : Math.min(MAX_WINDOW_FIELD, Math.floor(open / 2 ** scale));
}

/** The right edge that X would read from a segment sent to it now: `farEdge` as far as the scale can say it. */
export function tellableEdge(x: Connection): SeqNum {
  const ack = combinedAck(x);
  const scale = x.shell.windowScale;
  return seqAdd(ack, windowField(farEdge(x), ack, scale) * 2 ** scale);
}

/** A window field from one scale to another; one that is open stays open. */
export function convertWindow(field: number, from: number, to: number): number {
  if (field === 0) return 0;
  return Math.max(1, Math.min(MAX_WINDOW_FIELD, Math.floor((field * 2 ** from) / 2 ** to)));
}

/** Moves SACK edges by `-delta` and keeps only the blocks that lie at or after `floor`. */
export function shiftSack(segment: TcpSegment, delta: number, floor: SeqNum): void {
  const { sackLeft, sackRight } = segment;
  let kept = 0;
  for (let i = 0; i < segment.sackCount; i++) {
    const left = seqAdd(sackLeft[i] as SeqNum, -delta);
    const right = seqAdd(sackRight[i] as SeqNum, -delta);
    if (seqDiff(left, floor) < 0) continue;
    sackLeft[kept] = left;
    sackRight[kept] = right;
    kept++;
  }
  setSackCount(segment, kept);
}

/** Limits SACK edges to `limit`: the shell can't be told of bytes that it never sent. */
export function clipSack(segment: TcpSegment, limit: SeqNum): void {
  const { sackLeft, sackRight } = segment;
  let kept = 0;
  for (let i = 0; i < segment.sackCount; i++) {
    const left = sackLeft[i] as SeqNum;
    const right = sackRight[i] as SeqNum;
    if (seqDiff(left, limit) >= 0) continue;
    sackLeft[kept] = left;
    sackRight[kept] = seqAfter(right, limit) ? limit : right;
    kept++;
  }
  setSackCount(segment, kept);
}

function setSackCount(segment: TcpSegment, count: number): void {
  segment.sackCount = count;
  if (count === 0) segment.options &= ~OptionBit.Sack;
}

/**
 * The rule against the ack deadlock. When the window that an end was told ends before what it has already
 * sent, Linux sends its bare acks from the end of the window, and the receiver drops them as old: with both
 * windows shrunk (rounding to a scale is enough) neither end ever hears the other again. So a bare ack that
 * lies between what was acknowledged and the highest end sent is lifted to that end, but not past `edge`,
 * the right edge of the receiver's window, behind which it would be dropped as well. Lower ones are keepalives
 * and zero-window probes, which must stay low to be answered.
 */
export function liftBareAck(x: Connection, segment: TcpSegment, edge: SeqNum): void {
  if (segment.payloadLength !== 0) return;
  if ((segment.flags & (TcpFlag.Syn | TcpFlag.Fin | TcpFlag.Rst)) !== 0) return;
  if (!x.toldAny) return;
  if (seqDiff(segment.seq, x.toldAck) < 0 || seqDiff(segment.seq, x.far.max) >= 0) return;
  segment.seq = seqMax(segment.seq, seqMin(x.far.max, edge));
}

/**
 * A bare ack made by the switch for X, in place of the end that X believes in: the highest sequence number
 * that X was sent, as far as X's window reaches, and what X may now know of acknowledgment and window. Returns what will be sent.
 */
export function emitBareAck(x: Connection, ack: SeqNum, edge: SeqNum, out: Outbox): TcpSegment {
  const segment = out.addMade(x.toFar, x.far.segmentLimit);
  segment.flags = TcpFlag.Ack;
  segment.seq = seqMin(sentToFar(x), x.far.edge);
  segment.ack = ack;
  segment.window = windowField(edge, ack, x.shell.windowScale);
  if (x.timestamps) {
    segment.options = OptionBit.Timestamps;
    segment.tsval = x.toldTsval;
    segment.tsecr = x.far.tsval;
  }
  x.noteToldFar(segment);
  return segment;
}

/** A reset made by the switch for X. `seq` must be what X expects next, or X only answers it. */
export function emitReset(x: Connection, seq: SeqNum, out: Outbox): void {
  const segment = out.addMade(x.toFar, x.far.segmentLimit);
  segment.flags = TcpFlag.Rst;
  segment.seq = seq;
}
