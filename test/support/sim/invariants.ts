/**
 * What must hold at every step, whatever the mechanism (design, section 2.1). The checker sees each packet
 * that leaves the switch and knows what each end really sent and received. It learns the cut from outside:
 * it is how far the segments went that had been forwarded to the shell when the state flipped.
 */
import { TcpFlag } from '../../../src/wire/segment.js';
import { Host, type Packet, Path } from './packet.js';
import type { SeenState } from './switch-node.js';
import type { TcpEnd } from './tcp.js';

/** One direction of a flow: X sends, the shell takes it in and passes it on, Y receives. */
class Direction {
  /** How far the payload of X's went that was forwarded to the shell, and how far any segment did. */
  payloadEnd = 1;
  segmentEnd = 1;
  /** The cut lies between the two: bytes that the switch never saw may take either way. −1 before the cut. */
  cut = -1;
  cutAtMost = -1;
  /** The highest right window edge that X was told. */
  toldEdge = 0;
  /** X's position plus this is Y's. */
  readonly shift: number;

  constructor(
    readonly source: TcpEnd,
    readonly shellIn: TcpEnd,
    readonly shellOut: TcpEnd,
    readonly sink: TcpEnd,
  ) {
    this.shift = source.map.sendShift - sink.map.receiveShift;
  }

  /** What Y has received, as X counts. */
  get delivered(): number {
    return this.sink.receiver.next - this.shift;
  }

  get drained(): boolean {
    return this.cut >= 0 && this.delivered >= this.cut;
  }

  /** An end is gone, so that bytes may at most be answered with a reset. */
  get dead(): boolean {
    return this.sink.state === 'reset' || this.source.state === 'reset';
  }

  start(packet: Packet): number {
    return packet.content + 1 - this.source.map.sendShift;
  }

  wholeEnd(packet: Packet): number {
    return packet.wholeEnd + 1 - this.source.map.sendShift;
  }
}

export class Invariants {
  readonly up: Direction;
  readonly down: Direction;
  /** The flow was stitched: nothing goes to the shell any more. */
  stitched = false;
  clampedAt = -1;
  cutAt = -1;
  /** The engine let go of the flow: what still comes is none of its business. */
  #forgotten = false;
  /** The flow went through `cutting`, so the clamp had to wait for the windows. */
  drainSeen = false;

  constructor(
    readonly ends: { peer: TcpEnd; outer: TcpEnd; inner: TcpEnd; core: TcpEnd },
    readonly fault: (rule: string, text: string) => void,
    /** The switch acknowledges FINs itself, once all data before them was delivered. */
    readonly answersFins = false,
  ) {
    const { peer, outer, inner, core } = ends;
    this.up = new Direction(peer, outer, inner, core);
    this.down = new Direction(core, inner, outer, peer);
  }

  onCall(before: SeenState, states: readonly SeenState[], packets: readonly Packet[], now: number): void {
    if (this.#forgotten) return;
    this.#forgotten = states.includes('none');
    if (this.cutAt < 0) this.#beforeCut(states, packets, now);
    const limited = before === 'clamping' || before === 'cutting' || this.stitched;
    for (const packet of packets) {
      if (packet.path === Path.ShellToPeer) this.#toEnd(this.up, this.down, packet, limited);
      else if (packet.path === Path.ShellToCore) this.#toEnd(this.down, this.up, packet, limited);
      else if (packet.path === Path.PeerToShell) this.#toShell(this.up, this.down, packet);
      else this.#toShell(this.down, this.up, packet);
    }
    if (this.stitched || !states.includes('stitched')) return;
    this.stitched = true;
    for (const direction of [this.up, this.down]) {
      if (!direction.drained) this.fault('stitched-early', `${describe(direction)} is not delivered`);
    }
  }

  /** A flip is seen by both directions at once: both cuts are taken at the same moment. */
  #beforeCut(states: readonly SeenState[], packets: readonly Packet[], now: number): void {
    for (const packet of packets) {
      const { segment, path } = packet;
      if (path === Path.ShellToPeer || path === Path.ShellToCore || segment.has(TcpFlag.Rst)) continue;
      const direction = path === Path.PeerToShell ? this.up : this.down;
      const end = direction.source.ackPosition(segment.seq) + segment.payloadLength;
      direction.segmentEnd = Math.max(direction.segmentEnd, end);
      if (segment.payloadLength > 0) direction.payloadEnd = Math.max(direction.payloadEnd, end);
    }
    for (const state of states) {
      if (state === 'clamping') this.clampedAt = now;
      if (state !== 'cutting' && state !== 'stitched') continue;
      if (state === 'cutting') this.drainSeen = true;
      this.cutAt = now;
      for (const direction of [this.up, this.down]) {
        direction.cut = direction.payloadEnd;
        direction.cutAtMost = direction.segmentEnd;
      }
      return;
    }
  }

  /** `into` is the direction that the packet acknowledges, `from` the one whose bytes it carries. */
  #toEnd(into: Direction, from: Direction, packet: Packet, limited: boolean): void {
    const { segment } = packet;
    if (packet.producer === Host.Shell && this.stitched)
      this.fault('swallow', 'a packet of the shell gets through');
    if (segment.payloadLength > 0 && packet.producer !== Host.Shell) this.#direct(from, packet);
    if (segment.has(TcpFlag.Syn)) into.toldEdge = Math.max(into.toldEdge, 1 + segment.window);
    if (segment.has(TcpFlag.Syn) || segment.has(TcpFlag.Rst) || !segment.has(TcpFlag.Ack)) return;
    const ack = into.source.ackPosition(segment.ack);
    const bound = Math.max(into.shellIn.receiver.next, into.cut >= 0 ? into.delivered : 0);
    const isFin = this.answersFins && into.source.sender.fin && ack === into.source.sender.limit;
    if (ack > bound + (isFin ? 1 : 0))
      this.fault('ack', `${into.source.config.name} hears ack ${ack}, taken is up to ${bound}`);
    this.#checkSack(into, packet);
    this.#checkEdge(into, packet, ack, limited);
  }

  #direct(from: Direction, packet: Packet): void {
    if (from.cut < 0) this.fault('direct', 'payload goes the direct way before the cut');
    else if (from.wholeEnd(packet) <= from.cut && !from.drained && !from.dead) {
      this.fault('below-cut', `byte ${from.start(packet)} goes directly, the cut is ${from.cut}`);
    }
  }

  #checkSack(into: Direction, packet: Packet): void {
    const { segment } = packet;
    for (let i = 0; i < segment.sackCount; i++) {
      const left = into.source.ackPosition(segment.sackLeft[i] as number);
      const right = into.source.ackPosition(segment.sackRight[i] as number);
      if (into.shellIn.receiver.has(left, right)) continue;
      if (into.cut >= 0 && into.sink.receiver.has(left + into.shift, right + into.shift)) continue;
      this.fault('sack', `${into.source.config.name} hears SACK ${left}–${right}, which nobody has`);
    }
  }

  /** No end is told of more window than it was promised before or than the far end offers. */
  #checkEdge(into: Direction, packet: Packet, ack: number, limited: boolean): void {
    const { sendScale } = into.source;
    const edge = ack + packet.segment.window * 2 ** sendScale;
    if (limited) {
      const offered = into.sink.receiver.edge - into.shift + 2 ** sendScale;
      if (edge > Math.max(into.toldEdge, offered)) {
        const told = `${edge}, told was ${into.toldEdge}, offered is ${offered}`;
        this.fault('window', `${into.source.config.name} is told edge ${told}`);
      }
    }
    if (edge > into.toldEdge) into.toldEdge = edge;
  }

  #toShell(from: Direction, into: Direction, packet: Packet): void {
    const { segment } = packet;
    if (this.stitched) this.fault('to-shell', 'a packet of a stitched flow goes to the shell');
    const end = from.start(packet) + segment.payloadLength;
    if (from.cut >= 0 && segment.payloadLength > 0 && end > from.cutAtMost) {
      this.fault('above-cut', `the shell gets byte ${end}, the cut is ${from.cutAtMost}`);
    }
    if (segment.has(TcpFlag.Rst) || !segment.has(TcpFlag.Ack)) return;
    // What the shell may forget: no more than it sent, and than its receiver has.
    const ack = into.shellOut.ackPosition(segment.ack);
    if (ack > into.shellOut.sender.nxt) this.fault('ack-shell', `the shell hears ack ${ack} and sent less`);
    if (ack > into.sink.receiver.next)
      this.fault('ack-shell', `the shell hears ack ${ack}, which was not received`);
  }
}

function describe(direction: Direction): string {
  const { source, cut, delivered } = direction;
  return `${source.config.name}'s stream: cut ${cut}, delivered ${delivered}`;
}
