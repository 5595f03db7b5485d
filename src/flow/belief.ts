/**
 * Whether a segment of X's can be X's at all. An end drops what acknowledges bytes that it never sent, and what lies
 * outside its window (RFC 9293 section 3.10.7.4); the switch, which keeps its own account of both ends, must not learn
 * from it either. Such a segment is of an older connection with the same addresses and ports, or made up.
 */
import { TcpFlag, type TcpSegment } from '../wire/segment.js';
import { seqAfter, seqDiff } from '../wire/seq.js';
import type { Connection } from './connection.js';
import { Mode } from './flow.js';
import { sentToFar } from './mapping.js';

/** A window holds at most 2³⁰ bytes (RFC 7323 section 2.2), so nothing that is older counts. */
const RECENT = 2 ** 30;
/** A window probe may lie one byte behind the edge (RFC 9293 section 3.8.6.1). */
const PROBE_BYTES = 1;

/** A SYN and a RST have rules of their own. Of a restored flow the numbers may be old, so it can't be judged. */
export function isBelievable(x: Connection, segment: TcpSegment): boolean {
  if (!x.established || x.flow?.restored) return true;
  if (segment.has(TcpFlag.Syn) || segment.has(TcpFlag.Rst)) return true;
  const ahead = seqDiff(segment.seq, x.toldMax);
  if (ahead > PROBE_BYTES || seqDiff(x.toldAck, segment.seq) > RECENT) return false;
  if (!segment.has(TcpFlag.Ack)) return true;
  const sent = x.flow && x.flow.mode >= Mode.Drain ? sentToFar(x) : x.shell.max;
  return !seqAfter(segment.ack, sent) && seqDiff(x.far.ack, segment.ack) <= RECENT;
}
