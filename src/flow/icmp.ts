/** ICMP errors about translated packets: who really sent the quoted packet, and as what. */
import { type SeqNum, seqAdd, seqNum } from '../wire/seq.js';
import { Tuple } from '../wire/tuple.js';
import type { Connection } from './connection.js';
import { Mode } from './flow.js';

/** What the quoted packet was before its translation; filled anew for each error. */
export class IcmpTarget {
  /** Its tuple: from the end that the error is for, to the shell's address. */
  readonly quoted = new Tuple();
  seq: SeqNum = seqNum(0);
}

/**
 * For an error that quotes a packet from the shell to X: true when the far end Y sent that packet, with
 * `target` filled. Before a flow is stitched the shell sent it, and the error is the shell's.
 */
export function findIcmpTarget(x: Connection, seq: SeqNum, target: IcmpTarget): boolean {
  if (x.flow?.mode !== Mode.Direct) return false;
  const y = x.other;
  target.quoted.copyFrom(y.toShell);
  target.seq = seqAdd(seq, -y.delta);
  return true;
}
