/**
 * What a switch does that follows another one of its group and carries packets beside it: it translates packets of
 * stitched flows of which it holds a copy, and *steers* all others of the shell's to the leader, as they are.
 *
 * A copy goes by constants only. It compares nothing with what passed before, for most of a flow's packets may take other
 * ways; it says nothing by itself, and nothing of it ends by itself: what a copy learns of, and what it has to leave to
 * the leader, is in the packet at hand. So at a takeover it is a flow that was restored a moment ago (`restore.ts`).
 */
import { addressWords } from '../wire/endpoint.js';
import { TcpFlag, type TcpSegment } from '../wire/segment.js';
import { seqDiff } from '../wire/seq.js';
import type { Tuple } from '../wire/tuple.js';
import type { Connection } from './connection.js';
import type { Flow } from './flow.js';

/** The leader sees one packet of each direction this often, so that its numbers and its idle time stay near the truth, ms. */
const STEER_MS = 1000;
/** … and once in so many sequence numbers: comparisons at the leader hold within 2³¹. */
const STEER_BYTES = 2 ** 28;

/** While a switch follows. */
export interface Following {
  /** The addresses of all shells. What comes from or goes to them is the leader's to judge. */
  readonly shells: readonly string[];
  /** Where the leader can be reached is known; otherwise the host forwards what is not translated here. */
  readonly knowsLeader: boolean;
}

/** The addresses of shells, to be found by a packet's. */
export class ShellAddresses {
  private readonly addresses: readonly Uint32Array[];

  constructor(addresses: readonly string[]) {
    this.addresses = addresses.map((address) => {
      const words = addressWords(address);
      if (words === undefined) throw new TypeError(`not an address: ${address}`);
      return words;
    });
  }

  /** A shell sent the packet, or is to get it. */
  concern({ words }: Tuple): boolean {
    return this.addresses.some((own) => equal(own, words, 0) || equal(own, words, 4));
  }
}

function equal(own: Uint32Array, words: Uint32Array, at: number): boolean {
  return (
    own[3] === words[at + 3] && own[2] === words[at + 2] && own[1] === words[at + 1] && own[0] === words[at]
  );
}

/**
 * True when the leader is to have this packet of X's: what begins or ends a connection, all that comes after that, and
 * from time to time one of the others. Takes note of it.
 */
export function isLeaders(x: Connection, flow: Flow, segment: TcpSegment, now: number): boolean {
  if ((segment.flags & (TcpFlag.Syn | TcpFlag.Fin | TcpFlag.Rst)) !== 0) flow.yielded = true;
  if (flow.yielded || flow.state !== 'stitched') return true;
  if (x.steeredAt !== undefined) {
    const since = Math.abs(seqDiff(segment.seq, x.steeredSeq));
    if (now - x.steeredAt < STEER_MS && since < STEER_BYTES) return false;
  }
  x.steeredAt = now;
  x.steeredSeq = segment.seq;
  return true;
}
