/** FIN and RST: what counts, and when a flow is over. `hold.ts` has the modes that do not pass them on at once. */
import type { TcpSegment } from '../wire/segment.js';
import { type SeqNum, seqAdd, seqDiff } from '../wire/seq.js';
import type { Connection, Sender } from './connection.js';
import type { Flow } from './flow.js';
import { emitReset, farAck, sentToFar } from './mapping.js';
import type { Outbox } from './outbox.js';
import type { CloseReason } from './state.js';

/**
 * True when a RST from X is one that its receiver obeys: exactly the next expected number (RFC 5961 section
 * 3). The switch knows that number only as far as it was acknowledged, so the end of all that X sent, which
 * the receiver may have without having said so, counts as well.
 */
export function resetCounts(x: Connection, segment: TcpSegment): boolean {
  return (
    !x.established ||
    segment.seq === x.toldAck ||
    segment.seq === x.far.max ||
    isFinNumber(x.far, segment.seq)
  );
}

/**
 * The number of a FIN that was sent: some stacks reset a connection that they have ended with it, and Linux obeys
 * (tcp_reset_check in net/ipv4/tcp_input.c).
 */
function isFinNumber(sender: Sender, seq: SeqNum): boolean {
  return sender.finSeen && seq === seqAdd(sender.finEnd, -1);
}

/** The same for a RST of the shell's. */
export function shellResetCounts(x: Connection, segment: TcpSegment): boolean {
  return (
    !x.established ||
    segment.seq === x.far.ack ||
    segment.seq === x.shell.max ||
    isFinNumber(x.shell, segment.seq)
  );
}

/** True when each end's FIN was acknowledged by the other, directly. */
export function directlyFinished(flow: Flow): boolean {
  return finAcknowledged(flow.outer) && finAcknowledged(flow.inner);
}

/** True when X's FIN was acknowledged by Y. */
export function finAcknowledged(x: Connection): boolean {
  if (!x.far.finSeen) return false;
  // No ack goes beyond a FIN. What lies there all the same is an old number, of an end not heard of since a restore.
  const beyond = seqDiff(farAck(x), x.far.finEnd);
  return beyond === 0 || (beyond > 0 && (!x.flow?.restored || x.other.far.heard));
}

/** How a flow ended whose two connections are both finished. */
export function endingOf(flow: Flow): CloseReason {
  if (flow.outer.resetBy === 'far') return 'reset-by-peer';
  if (flow.inner.resetBy === 'far') return 'reset-by-core';
  return flow.outer.resetBy || flow.inner.resetBy ? 'reset-by-shell' : 'fin';
}

/**
 * Resets X. What X expects next lies between what it acknowledged and what it was sent: one reset for each
 * of the two. If neither is exact X answers with its number (RFC 5961 section 3.2), and gets one for that.
 */
export function resetFar(x: Connection, out: Outbox): void {
  emitReset(x, x.far.ack, out);
  const sent = sentToFar(x);
  if (sent !== x.far.ack) emitReset(x, sent, out);
}

/** Where X's own end of stream would stand on the other connection. */
export function resetOther(x: Connection, out: Outbox): void {
  const y = x.other;
  emitReset(y, y.far.ack, out);
  const end = seqAdd(x.far.max, x.delta);
  if (end !== y.far.ack) emitReset(y, end, out);
}
