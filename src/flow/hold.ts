/**
 * Segments of a flow whose teardown mode is `control` or `shell`. The switch takes each end's FIN off, answers for
 * it, and sends one of its own when the FIN is let go on:
 *
 *  - data beside a FIN, and before it, is passed on at once; so is what it acknowledges;
 *  - X's FIN is acknowledged by the switch once Y has acknowledged every byte before it, not earlier: the switch
 *    answers for the FIN alone;
 *  - whoever acknowledges a FIN is bound to deliver it: the switch repeats its own until Y has acknowledged it;
 *  - until Y was sent the FIN, it sees nothing beyond the last byte before it.
 *
 * "Owned" below: X's FIN was seen, and is the switch's to acknowledge, from then on for ever.
 */
import { TcpFlag, type TcpSegment } from '../wire/segment.js';
import { type SeqNum, seqAdd, seqAfter, seqDiff } from '../wire/seq.js';
import type { Connection } from './connection.js';
import { beforeFin, convertWindow, emitBareAck, farAck, farEdge } from './mapping.js';
import type { Outbox } from './outbox.js';
import { knowsWhereItStands } from './restore.js';
import { translate } from './translate.js';

function ownsFin(x: Connection): boolean {
  return x.far.finSeen && x.flow?.holdsEnds === true;
}

/** What X is told is acknowledged: what Y acknowledged, and with the last byte the FIN behind it. */
function promisedAck(x: Connection): SeqNum {
  const ack = farAck(x);
  return ownsFin(x) && ack === beforeFin(x.far) ? x.far.finEnd : ack;
}

/** True when X's FIN was acknowledged by Y itself. */
export function finDelivered(x: Connection): boolean {
  return x.far.finSeen && seqDiff(farAck(x), x.far.finEnd) >= 0;
}

/** A segment from X, already tracked and no RST. Its FIN was taken off; `hadFin` tells that there was one. */
export function translateHolding(x: Connection, segment: TcpSegment, hadFin: boolean, out: Outbox): void {
  const y = x.other;
  // Not knowing where it stands, the switch answers for nobody: what comes goes on, without the FIN.
  if (segment.has(TcpFlag.Syn) || (x.flow && !knowsWhereItStands(x.flow))) {
    translate(x, segment, out);
    return;
  }
  if (ownsFin(y) && seqAdd(segment.ack, -y.delta) === beforeFin(y.far)) segment.ack = seqAdd(segment.ack, 1);
  const bare = segment.payloadLength === 0;
  // Nobody but the switch says to X again what X must have missed: Y's own acks may end here, see `bothDone`.
  const repeats = !bare && knowsAll(x);
  const asks = hadFin || repeats || (bare && probes(x, segment));
  if (asks && promisedAck(x) === x.far.finEnd) emitBareAck(x, x.far.finEnd, farEdge(x), out);
  if (bare && bothDone(x)) return;
  if (asks && (bare || repeats) && !tellsNews(x, segment)) return;
  translate(x, segment, out);
}

/** A keepalive of X's while its FIN is on the switch's hands: Y, which is to answer, does not expect that number yet. */
function probes(x: Connection, segment: TcpSegment): boolean {
  return (x.finHeld || x.finSent) && !hasLeft(x) && seqDiff(segment.seq, x.far.finEnd) < 0;
}

/**
 * X acknowledged Y's FIN and was told that its own is acknowledged: its connection is over, in order, while the switch
 * may still have to deliver X's FIN. A reset of X's then answers something that came late, and ends nothing.
 */
export function hasLeft(x: Connection): boolean {
  return finDelivered(x.other) && knowsAll(x);
}

/**
 * Y has nothing more to learn from X but data: its own FIN was acknowledged, and it was sent X's. It may be gone
 * already, and would answer a bare ack with a reset.
 */
function bothDone(x: Connection): boolean {
  return ownsFin(x) && !x.finHeld && knowsAll(x.other);
}

/** All that Y sent, its FIN with it, was acknowledged to Y. */
function knowsAll(y: Connection): boolean {
  return ownsFin(y) && seqDiff(y.toldAck, y.far.finEnd) >= 0;
}

/** True when Y does not know yet what the segment acknowledges or how far it opens the window. */
function tellsNews(x: Connection, segment: TcpSegment): boolean {
  const y = x.other;
  if (knowsAll(y)) return false;
  const scale = y.shell.windowScale;
  const ack = seqAdd(segment.ack, -y.delta);
  const edge = seqAdd(ack, convertWindow(segment.window, x.far.windowScale, scale) * 2 ** scale);
  return segment.sackCount > 0 || seqAfter(ack, y.toldAck) || seqAfter(edge, y.toldEdge);
}

/** X's FIN, made anew for Y. */
export function emitFin(x: Connection, out: Outbox): void {
  const y = x.other;
  const segment = emitBareAck(y, promisedAck(y), farEdge(y), out);
  segment.flags |= TcpFlag.Fin;
  segment.seq = seqAdd(beforeFin(x.far), x.delta);
}
