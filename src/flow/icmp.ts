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

/** No smaller one is believed: what anybody may claim must not make a connection crawl (RFC 8201 section 4, Linux' min_pmtu). */
const LEAST_MTU_IPV4 = 552;
const LEAST_MTU_IPV6 = 1280;
const IPV4_AND_TCP = 40;
const IPV6_AND_TCP = 60;

/** The largest payload with options that goes into a packet of `mtu` bytes. */
export function pathMss(mtu: number, isIpv4: boolean): number {
  return isIpv4 ? Math.max(mtu, LEAST_MTU_IPV4) - IPV4_AND_TCP : Math.max(mtu, LEAST_MTU_IPV6) - IPV6_AND_TCP;
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
