/**
 * What the leader of a group adds where followers carry packets too (`carry.ts`): most packets of a stitched flow may
 * pass without it, so it takes from each one that it sees what that tells of the others.
 */
import { TcpFlag, type TcpSegment } from '../wire/segment.js';
import { seqAdd, seqMax } from '../wire/seq.js';
import type { Connection } from './connection.js';
import type { Flow } from './flow.js';
import { emitBareAck, farAck, farEdge } from './mapping.js';
import type { Outbox } from './outbox.js';
import { knowsWhereItStands } from './restore.js';
import { finAcknowledged } from './teardown.js';

/** A flow with both FINs that is silent for so long has ended: the last ack took another way, ms. */
export const QUIET_MS = 2000;
/** An end is asked at most this often where it stands, ms. */
const ASK_MS = 1000;

/** X's acknowledgment tells what Y must have sent, though it did not pass here. */
export function learnFromAck(x: Connection, flow: Flow, segment: TcpSegment): void {
  const { far } = x.other;
  if (!segment.has(TcpFlag.Ack) || segment.has(TcpFlag.Syn)) return;
  if (flow.restored && !far.heard) return;
  const acked = seqAdd(segment.ack, -x.other.delta);
  far.max = seqMax(far.max, acked);
  far.noteSent(acked);
}

/** A RST that counts stands at the end of all that X sent; so did one before it that could not be judged. */
export function learnFromReset(x: Connection, flow: Flow, segment: TcpSegment): void {
  if (flow.restored && !x.far.heard) return;
  x.far.noteSent(segment.seq);
  learnFromAck(x, flow, segment);
  if (x.askedAt === undefined) return;
  x.far.noteSent(x.askedEnd);
  x.other.far.noteSent(x.askedAck);
}

/**
 * X, which has sent its FIN and acknowledged Y's, answers something late with a RST: it has left in order, and the ack that
 * would have told so took another way.
 */
export function hasLeftUnseen(x: Connection, flow: Flow): boolean {
  return flow.state === 'closing' && x.far.finSeen && finAcknowledged(x.other);
}

/**
 * After a RST of X's that is not exact: a dead end answers a bare ack with a RST whose number is the one acknowledged
 * (RFC 9293 section 3.5.2), which counts; one that lives, with an ack that tells where it stands.
 */
export function askWhereItStands(
  x: Connection,
  flow: Flow,
  segment: TcpSegment,
  now: number,
  out: Outbox,
): void {
  if (flow.state === 'closed' || !knowsWhereItStands(flow)) return;
  if (x.askedAt !== undefined && now - x.askedAt < ASK_MS) return;
  x.askedAt = now;
  x.askedEnd = segment.seq;
  x.askedAck = segment.has(TcpFlag.Ack) ? seqAdd(segment.ack, -x.other.delta) : x.other.far.dataMax;
  x.steeredAt = undefined;
  emitBareAck(x, seqMax(farAck(x), x.toldAck), farEdge(x), out);
}

/** When nothing more is to be expected of a flow that closes, ms; undefined while something is. */
export function quietAt({ state, outer, inner }: Flow): number | undefined {
  const ends = [outer, inner];
  if (state !== 'closing' || !ends.every(({ far }) => far.finSeen)) return undefined;
  if (ends.some(({ finHeld, finSent, resetHeld }) => finHeld || finSent || resetHeld)) return undefined;
  return Math.max(outer.lastPacketAt, inner.lastPacketAt) + QUIET_MS;
}
