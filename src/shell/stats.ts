import type { LinkState } from '../midcom/port.js';

/** The shell's counters. Plain numbers that only grow, but for the gauges at the end. */
export class ShellCounters {
  accepted = 0;
  /** Over the limit of connections, or from where nobody may come: reset at once. */
  rejected = 0;
  /** It did not say, or not rightly, where it wants to go. */
  greetingFailed = 0;
  /** Its name, or what it said in place of one, is no route's. */
  unmatched = 0;
  /** It wanted to go where no rule lets it. */
  notAllowed = 0;
  /** Connections whose other end was reached. */
  relayed = 0;
  /** The core refused, was not there or did not answer in time. */
  coreFailed = 0;
  /** The same of a peer that the core wanted to reach. */
  peerFailed = 0;
  /** Connections that began on a link, and streams of a link that could not be had. */
  linked = 0;
  linkFailed = 0;
  /** Of those: asked for by a core or the switch, moved to an inner connection, and moves that came to nothing. */
  moveAsked = 0;
  moved = 0;
  moveFailed = 0;
  stitchAsked = 0;
  stitched = 0;
  refused = 0;
  broken = 0;
  /** Flows that were gone when the switch came back. */
  lost = 0;
  /** Relayed without a flow: the switch said no or did not answer, or it was not there. */
  notPaired = 0;
  switchAbsent = 0;
  /** No reserved port was free. */
  portsExhausted = 0;
  /** A reserved port that could not be used, and the next one was tried. */
  portsBusy = 0;
  /** Stitched while bytes were still held in user space; 0 unless something is wrong. */
  heldAtStitch = 0;
  /** Bytes that the relay carried, from peers and from cores. */
  bytesUp = 0;
  bytesDown = 0;
  /** Now: accepted and not over, as far as this process's sockets go. */
  open = 0;
}

export interface ShellStats extends Readonly<ShellCounters> {
  /** Flows known to the switch whose port is held. */
  readonly flows: number;
  readonly load: number;
  readonly links: readonly LinkState[];
  readonly ports: readonly {
    readonly address: string;
    readonly size: number;
    readonly free: number;
    readonly held: number;
    readonly resting: number;
  }[];
}
