/**
 * The cut and the drain. From the cut on, bytes of X below `x.cut` still go to the shell, which relays what
 * it holds, and bytes from there on go straight to Y. Until Y has acknowledged all that came by way of the
 * shell, both paths speak to the same ends, and what they say must agree:
 *
 *  - an ack to X covers what A or Y has acknowledged, never more (A is bound to deliver what it acknowledged);
 *  - a window to X ends at Y's right edge;
 *  - the shell hears X's and Y's acks as far as they concern bytes that it sent itself;
 *  - a TSval to an end never falls behind one that the same end was given before (RFC 7323 section 5).
 */
import { OptionBit, TcpFlag, type TcpSegment } from '../wire/segment.js';
import { type SeqNum, seqAdd, seqAfter, seqDiff, seqMin } from '../wire/seq.js';
import type { Connection } from './connection.js';
import {
  clipSack,
  combinedAck,
  emitBareAck,
  farAck,
  farEdge,
  shiftSack,
  tellableEdge,
  windowField,
} from './mapping.js';
import type { Outbox } from './outbox.js';

/** Lift of a direct packet's TSval above the shell's last one, in ticks, so that it is never behind it. */
const TSVAL_LEAD = 2;
/** Keepalives and window probes repeat at most one byte (RFC 9293 section 3.8.4). */
const PROBE_BYTES = 1;

/** Puts the cut at the end of the highest byte of X's that went to the shell. */
export function makeCut(x: Connection): void {
  x.cut = x.far.dataMax;
  x.cutMax = x.far.max;
  x.toldShellAck = x.far.ack;
  x.toldShellEdge = x.far.edge;
}

/**
 * The timestamp delta: the shell's clock towards Y minus X's clock, both carried forward to `now` at the
 * 1 kHz that RFC 7323 section 5.4 recommends and Linux uses.
 */
export function setTimestampDelta(x: Connection, now: number): void {
  const shell = x.other.shell;
  const shellNow = shell.tsval + Math.floor(now - shell.tsvalAt);
  const farNow = x.far.tsval + Math.floor(now - x.far.tsvalAt);
  x.tsDelta = (shellNow - farNow) | 0;
}

/**
 * Fixes the timestamp delta for good. Whatever the clocks' rates, what X sends next maps to no less than Y
 * was told last, because X's own TSvals do not go back. After a drain, which lifts TSvals, the lead covers what X
 * sent a moment before and has not come in yet.
 */
export function settleTimestampDelta(x: Connection, afterDrain: boolean): void {
  const mapped = (x.far.tsval + x.tsDelta) | 0;
  const behind = (x.other.toldTsval + (afterDrain ? TSVAL_LEAD : 0) - mapped) | 0;
  if (behind > 0) x.tsDelta = (x.tsDelta + behind) | 0;
}

/** True when Y has acknowledged every byte of X that went by way of the shell. */
export function drained(x: Connection): boolean {
  return seqDiff(farAck(x), x.cut) >= 0;
}

/** Tells X again all that it was told: the answer to a probe, and to a repeated segment whose ack got lost. */
export function repeatAck(x: Connection, out: Outbox): void {
  emitBareAck(x, combinedAck(x), farEdge(x), out);
}

/**
 * Asks Y for its window: a bare ack just below what Y expects draws an answer (RFC 9293 section 3.8.6.1). X's
 * own probe can't be passed on, since Y may not have come as far yet.
 */
function probe(y: Connection, out: Outbox): void {
  const segment = emitBareAck(y, combinedAck(y), farEdge(y), out);
  segment.seq = seqAdd(y.far.ack, -1);
}

/**
 * Tells the shell again what X acknowledged. A shell that missed it repeats what X has, or probes; left alone it
 * would keep that in its buffers, take nothing more from Y for it, and never drain.
 */
function repeatAckToShell(x: Connection, out: Outbox): void {
  const segment = out.addMade(x.toShell, x.shell.segmentLimit);
  segment.flags = TcpFlag.Ack;
  segment.seq = x.cutMax;
  segment.ack = seqMin(x.far.ack, x.shell.max);
  segment.window = windowField(x.far.edge, segment.ack, x.far.windowScale);
  if (x.timestamps) {
    segment.options = OptionBit.Timestamps;
    segment.tsval = x.far.tsval;
    segment.tsecr = x.shell.tsval;
  }
  x.noteToldShell(segment);
}

/** A segment from X while the flow drains; already tracked. */
export function drainFromFar(x: Connection, segment: TcpSegment, out: Outbox): void {
  if (segment.has(TcpFlag.Syn)) {
    repeatAck(x, out);
    return;
  }
  const { seq, end, payloadLength } = segment;
  const carries = segment.sequenceLength > 0;
  const known = seqDiff(end, x.toldAck) <= 0 && (carries || seqDiff(seq, x.toldAck) < 0);
  if (known) repeatAck(x, out);
  if (known && payloadLength <= PROBE_BYTES) probe(x.other, out);
  if (!carries || known) {
    acknowledgeFar(x, segment, out);
    acknowledgeShell(x, segment, !carries && !known, out);
  } else if (seqDiff(end, x.cut) <= 0) {
    emitToShell(x, segment, payloadLength, out);
    acknowledgeFar(x, segment, out);
  } else if (seqDiff(seq, x.cut) >= 0) {
    emitDirect(x, segment, true, out);
    acknowledgeShell(x, segment, false, out);
  } else {
    // Across the cut: whole to Y, which drops what it has by its numbers, and the part below to the shell.
    // Bytes that the shell consumed must not go along: they stand where Y expects others.
    if (seqDiff(seq, x.transparentFrom) >= 0) emitDirect(x, segment, true, out);
    emitToShell(x, segment, seqDiff(x.cut, seq), out);
  }
}

/** A segment of the shell's on its way to X while the flow drains; already tracked, without FIN and no reset. */
export function drainFromShell(x: Connection, segment: TcpSegment, out: Outbox): void {
  if (segment.has(TcpFlag.Syn)) return;
  const ack = combinedAck(x);
  const edge = farEdge(x);
  const bare = segment.payloadLength === 0;
  const known = seqDiff(bare ? seqAdd(segment.seq, 1) : segment.end, x.far.ack) <= 0;
  const isProbe = known && segment.payloadLength <= PROBE_BYTES;
  if (known) repeatAckToShell(x, out);
  if (known && !isProbe) return;
  const duplicateOfUse = segment.ack === ack && seqDiff(ack, x.cut) < 0;
  const news = seqAfter(ack, x.toldAck) || seqAfter(tellableEdge(x), x.toldEdge);
  if (bare && !news && !duplicateOfUse && !isProbe) return;

  const sent = out.addEdited(x.toFar, x.far.segmentLimit, segment, segment.payloadLength);
  if (sent.hasOption(OptionBit.Sack) && segment.ack !== ack) clearSack(sent);
  sent.ack = ack;
  sent.window = windowField(edge, ack, x.shell.windowScale);
  // The shell's own clock stands while it still has bytes for X on the way; then it must not fall behind.
  if (sent.hasOption(OptionBit.Timestamps) && drained(x.other)) {
    if (((x.toldTsval - sent.tsval) | 0) > 0) sent.tsval = x.toldTsval;
  }
  x.noteToldFar(sent);
}

/** X's acknowledgment for Y, without its payload, if Y does not know it yet. */
function acknowledgeFar(x: Connection, segment: TcpSegment, out: Outbox): void {
  const y = x.other;
  if (
    seqAfter(combinedAck(y), y.toldAck) ||
    seqAfter(tellableEdge(y), y.toldEdge) ||
    carriesSackFor(x, segment)
  ) {
    emitDirect(x, segment, false, out);
  }
}

/** True when the segment's SACK blocks are for Y to know: Y's own bytes, all of which now go to X directly. */
function carriesSackFor(x: Connection, segment: TcpSegment): boolean {
  const y = x.other;
  return (
    segment.hasOption(OptionBit.Sack) &&
    y.sack &&
    drained(y) &&
    seqAdd(segment.ack, -y.delta) === combinedAck(y)
  );
}

/**
 * X's acknowledgment for the shell, without payload, if it tells the shell something about bytes that the
 * shell sent. `duplicates`: pass on a bare duplicate ack too, for as long as the shell has bytes unacknowledged.
 */
function acknowledgeShell(x: Connection, segment: TcpSegment, duplicates: boolean, out: Outbox): void {
  const ack = seqMin(segment.ack, x.shell.max);
  const edge = seqAdd(segment.ack, segment.window * 2 ** x.far.windowScale);
  const outstanding = seqDiff(x.shell.max, x.toldShellAck) > 0;
  const opened = seqDiff(edge, x.toldShellEdge) >= 2 ** x.far.windowScale;
  const news = seqAfter(ack, x.toldShellAck) || (opened && !drained(x.other));
  const loss = outstanding && ack === x.toldShellAck && (duplicates || segment.hasOption(OptionBit.Sack));
  if (news || loss) emitToShell(x, segment, 0, out);
}

/** The received segment with the first `length` bytes of its payload for the shell. */
function emitToShell(x: Connection, segment: TcpSegment, length: number, out: Outbox): void {
  const sent = out.addEdited(x.toShell, x.shell.segmentLimit, segment, length);
  if (sent.payloadLength < segment.payloadLength || segment.has(TcpFlag.Fin)) {
    sent.flags &= ~(TcpFlag.Fin | TcpFlag.Psh | TcpFlag.Urg);
    sent.seq = seqMin(segment.seq, x.cut);
  }
  if (sent.payloadLength === 0) sent.seq = x.cutMax;
  if (seqAfter(sent.ack, x.shell.max)) {
    const edge = seqAdd(sent.ack, sent.window * 2 ** x.far.windowScale);
    sent.ack = x.shell.max;
    sent.window = windowField(edge, sent.ack, x.far.windowScale);
  }
  if (sent.hasOption(OptionBit.Sack)) clipSack(sent, x.shell.max);
  x.noteToldShell(sent);
}

/** The received segment straight to Y: all of it, or only what it acknowledges. */
function emitDirect(x: Connection, segment: TcpSegment, withPayload: boolean, out: Outbox): void {
  const y = x.other;
  const sent = out.addEdited(y.toFar, y.far.segmentLimit, segment, withPayload ? segment.payloadLength : 0);
  if (!withPayload) {
    sent.flags &= ~(TcpFlag.Fin | TcpFlag.Psh | TcpFlag.Urg);
    sent.seq = x.far.max;
  }
  sent.seq = seqAdd(sent.seq, x.delta);
  const ack = combinedAck(y);
  if (sent.hasOption(OptionBit.Sack)) {
    if (carriesSackFor(x, segment)) shiftSack(sent, y.delta, y.transparentFrom);
    else clearSack(sent);
  }
  sent.ack = ack;
  sent.window = windowField(farEdge(y), ack, y.shell.windowScale);
  if (sent.hasOption(OptionBit.Timestamps)) translateDrainTimestamps(x, sent);
  y.noteToldFar(sent);
}

/**
 * A direct packet goes just ahead of the shell's clock, however fast X's own runs: mapped values could run away
 * from what the shell still has to send, which Y would then take for old.
 */
function translateDrainTimestamps(x: Connection, sent: TcpSegment): void {
  const y = x.other;
  const lead = (y.shell.tsval + TSVAL_LEAD) | 0;
  const tsval = ((y.toldTsval - lead) | 0) > 0 ? y.toldTsval : lead;
  sent.tsval = tsval >>> 0;
  sent.tsecr = (sent.tsecr - y.tsDelta) >>> 0;
}

function clearSack(segment: TcpSegment): void {
  segment.sackCount = 0;
  segment.options &= ~OptionBit.Sack;
}

/** Where the shell's bytes towards X must end: it may only relay what lies below Y's cut. */
export function shellEnd(x: Connection): SeqNum {
  return seqAdd(x.other.cut, x.other.delta);
}
