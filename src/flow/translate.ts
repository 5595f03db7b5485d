/**
 * Translation of a stitched flow: constants only, apart from the rule against the ack deadlock. Shapes: a
 * segment as X sent it goes in, one emission as Y expects it comes out.
 */
import { OptionBit, TcpFlag, type TcpSegment } from '../wire/segment.js';
import { type SeqNum, seqAdd, seqDiff, seqMin } from '../wire/seq.js';
import type { Connection } from './connection.js';
import {
  beforeFin,
  convertWindow,
  emitBareAck,
  farAck,
  farEdge,
  keepMarkRecent,
  liftBareAck,
  shiftSack,
} from './mapping.js';
import type { Outbox } from './outbox.js';
import { knowsWhereItStands, RECENT } from './restore.js';

/** A segment from X once the flow is stitched; already tracked, or not `believed` (`belief.ts`). */
export function translate(x: Connection, segment: TcpSegment, out: Outbox, believed = true): void {
  if (segment.has(TcpFlag.Syn)) {
    // RFC 5961 section 4: a SYN on a live connection draws an ack; only the switch knows which connection.
    acknowledgeAgain(x, out);
    return;
  }
  keepMarkRecent(x);
  if (seqDiff(segment.seq, x.transparentFrom) < 0 && segment.payloadLength > 1) {
    // Bytes that the shell consumed have no counterpart: they were acknowledged long ago, and are again. X goes
    // on from there, so whatever else the segment holds comes once more.
    acknowledgeAgain(x, out);
    return;
  }
  const y = x.other;
  const sent = out.addEdited(y.toFar, y.far.segmentLimit, segment, segment.payloadLength);
  liftBareAck(x, sent, farEdge(x));
  if (x.finHeld) sent.seq = seqMin(sent.seq, beforeFin(x.far));
  convert(x, sent, y.transparentFrom);
  if (believed) y.noteToldFar(sent);
}

/**
 * The same where other switches carry the flow too, and nobody knows what went before: nothing is compared, and nothing
 * noted. A block of SACK lies within a window of what it is sent with (RFC 7323 section 2.2).
 */
export function translateCopy(x: Connection, segment: TcpSegment, out: Outbox): void {
  if (segment.has(TcpFlag.Syn)) return;
  const y = x.other;
  const sent = out.addEdited(y.toFar, y.far.segmentLimit, segment, segment.payloadLength);
  convert(x, sent, seqAdd(segment.ack, -y.delta - RECENT));
}

/** From X's numbers to those that Y expects, by constants. `floor`: the least number of Y's that a block of SACK may name. */
function convert(x: Connection, sent: TcpSegment, floor: SeqNum): void {
  const y = x.other;
  sent.seq = seqAdd(sent.seq, x.delta);
  if (sent.has(TcpFlag.Ack)) sent.ack = seqAdd(sent.ack, -y.delta);
  sent.window = convertWindow(sent.window, x.far.windowScale, y.shell.windowScale);
  if (sent.hasOption(OptionBit.Sack)) translateSack(y, sent, floor);
  if (sent.hasOption(OptionBit.Timestamps)) {
    sent.tsval = (sent.tsval + x.tsDelta) >>> 0;
    if (sent.has(TcpFlag.Ack)) sent.tsecr = (sent.tsecr - y.tsDelta) >>> 0;
  }
}

/** Not for a restored flow that doesn't know where it stands: the packet then goes nowhere, and is sent again. */
function acknowledgeAgain(x: Connection, out: Outbox): void {
  if (x.flow && knowsWhereItStands(x.flow)) emitBareAck(x, farAck(x), farEdge(x), out);
}

/** Blocks below the first byte that Y's stream shares with X's mean nothing to Y and are left out. */
function translateSack(y: Connection, sent: TcpSegment, floor: SeqNum): void {
  if (y.sack) {
    shiftSack(sent, y.delta, floor);
  } else {
    sent.sackCount = 0;
    sent.options &= ~OptionBit.Sack;
  }
}
