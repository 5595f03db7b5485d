/**
 * The outgoing side of a simulated TCP end: what its segments look like, the numbers of bare acks, and its
 * timers. `tcp.ts` adds what it makes of incoming segments.
 */
import { OptionBit, TcpFlag, type TcpSegment } from '../../../src/wire/segment.js';
import { seqDiff, seqNum } from '../../../src/wire/seq.js';
import type { EventQueue, Wakeable } from './events.js';
import type { Host, PacketPool } from './packet.js';
import type { Random } from './random.js';
import { Receiver } from './receiver.js';
import { Sender, type SenderOutput } from './sender.js';
import type { StreamMap, TcpConfig, TcpOwner, TcpSurroundings } from './tcp-config.js';

const NEVER = Number.POSITIVE_INFINITY;

/** `established` lasts until both FINs are acked; `done` is CLOSED after LAST-ACK. */
export type TcpState =
  | 'closed'
  | 'listen'
  | 'syn-sent'
  | 'syn-received'
  | 'established'
  | 'time-wait'
  | 'done'
  | 'reset';

export abstract class TcpOutput implements Wakeable, SenderOutput {
  state: TcpState = 'closed';
  owner: TcpOwner | undefined;
  readonly sender: Sender;
  readonly receiver: Receiver;
  timestamps = false;
  sack = false;
  sendScale = 0;
  /** True once this end was reset by the other one. */
  wasReset = false;
  pawsDrops = 0;
  /** Bytes by which the right window edge went back, at most. */
  retreat = 0;
  protected scaled = false;
  protected peerIss = 0;
  protected ackAt = NEVER;
  protected unackedBytes = 0;
  protected keepaliveAt = NEVER;
  protected handshakeAt = NEVER;
  #handshakeTries = 0;
  #wakeAt = NEVER;

  constructor(
    readonly config: TcpConfig,
    readonly map: StreamMap,
    readonly host: Host,
    readonly events: EventQueue,
    readonly pool: PacketPool,
    readonly random: Random,
    readonly around: TcpSurroundings,
  ) {
    this.sender = new Sender(config, random, this);
    this.receiver = new Receiver(config);
  }

  /** Nothing more will come of it. */
  get over(): boolean {
    return this.state === 'done' || this.state === 'reset' || this.state === 'time-wait';
  }

  // Positions and sequence numbers.

  wireOf(position: number): number {
    return (this.config.initialSequence + position) >>> 0;
  }

  /** Position in this end's own sending of an ack number from the wire. */
  ackPosition(ack: number): number {
    return this.sender.una + seqDiff(seqNum(ack), seqNum(this.wireOf(this.sender.una)));
  }

  protected dataPosition(seq: number): number {
    const { next } = this.receiver;
    return next + seqDiff(seqNum(seq), seqNum(this.peerIss + next));
  }

  timestampNow(): number {
    const { timestampOffset, timestampTick } = this.config;
    return (timestampOffset + Math.floor(this.events.now / timestampTick)) >>> 0;
  }

  // Output.

  segment(start: number, end: number): void {
    const { written } = this.sender;
    const fin = end > written;
    const dataEnd = fin ? written : end;
    const flags = TcpFlag.Ack | (fin ? TcpFlag.Fin : 0) | (dataEnd === written ? TcpFlag.Psh : 0);
    this.transmit(start, dataEnd - start, flags, start - 1 + this.map.sendShift);
  }

  probe(): void {
    this.transmit(this.sender.una - 1, 0, TcpFlag.Ack, 0);
  }

  /** Linux tcp_acceptable_seq: SND.NXT, or the end of the window where that was taken back. */
  protected acceptableSequence(): number {
    const { nxt, windowEnd } = this.sender;
    if (windowEnd >= nxt) return nxt;
    if (this.config.ackSlack && this.scaled && nxt - windowEnd < 1 << this.receiver.scale) return nxt;
    return windowEnd;
  }

  protected sendAck(): void {
    this.transmit(this.acceptableSequence(), 0, TcpFlag.Ack, 0);
  }

  protected transmit(start: number, length: number, flags: number, content: number): void {
    const packet = this.pool.take(this.map.out, this.host);
    const segment = packet.segment.clear();
    segment.seq = seqNum(this.wireOf(start));
    segment.flags = flags;
    segment.payloadLength = length;
    packet.content = content;
    if (this.timestamps) {
      segment.options |= OptionBit.Timestamps;
      segment.tsval = this.timestampNow();
      segment.tsecr = this.receiver.tsRecent;
    }
    if ((flags & TcpFlag.Ack) !== 0) {
      segment.ack = seqNum(this.peerIss + this.receiver.next);
      segment.window = this.receiver.selectWindow();
      if (this.sack && (flags & TcpFlag.Rst) === 0) {
        this.receiver.fillSack(segment, this.peerIss, this.timestamps ? 3 : 4);
      }
      this.ackAt = NEVER;
      this.unackedBytes = 0;
    }
    this.around.transmit(packet);
  }

  protected sendHandshake(): void {
    const { config } = this;
    const active = this.state === 'syn-sent';
    const packet = this.pool.take(this.map.out, this.host);
    const segment = packet.segment.clear();
    segment.seq = seqNum(config.initialSequence);
    segment.flags = active ? TcpFlag.Syn : TcpFlag.Syn | TcpFlag.Ack;
    segment.options = OptionBit.Mss;
    segment.mss = config.mss;
    segment.window = Math.min(65535, config.receiveBuffer);
    if (active ? config.windowScale >= 0 : this.scaled) {
      segment.options |= OptionBit.WindowScale;
      segment.windowScale = config.windowScale;
    }
    if (active ? config.sack : this.sack) segment.options |= OptionBit.SackPermitted;
    if (active ? config.timestamps : this.timestamps) {
      segment.options |= OptionBit.Timestamps;
      segment.tsval = this.timestampNow();
      segment.tsecr = active ? 0 : this.receiver.tsRecent;
    }
    if (!active) segment.ack = seqNum(this.peerIss + 1);
    this.receiver.window = segment.window;
    this.receiver.told = 1;
    this.handshakeAt = this.events.now + 1000 * 2 ** Math.min(5, this.#handshakeTries++);
    this.around.transmit(packet);
    this.arm();
  }

  /** RFC 9293 section 3.10.7.1: what a closed port answers. */
  protected refuse(incoming: TcpSegment): void {
    if (incoming.has(TcpFlag.Rst)) return;
    const packet = this.pool.take(this.map.out, this.host);
    const segment = packet.segment.clear();
    if (incoming.has(TcpFlag.Ack)) {
      segment.seq = incoming.ack;
      segment.flags = TcpFlag.Rst;
    } else {
      segment.ack = incoming.end;
      segment.flags = TcpFlag.Rst | TcpFlag.Ack;
    }
    this.around.transmit(packet);
  }

  // Timers: one pending wake-up at the earliest deadline; a stale one does nothing.

  protected arm(): void {
    const { sender } = this;
    const at = Math.min(
      sender.rtoAt,
      sender.tailAt,
      sender.persistAt,
      this.ackAt,
      this.keepaliveAt,
      this.handshakeAt,
    );
    if (at >= this.#wakeAt) return;
    this.#wakeAt = at;
    this.events.schedule(at, this, 0);
  }

  wake(): void {
    const { now } = this.events;
    if (now < this.#wakeAt) return;
    this.#wakeAt = NEVER;
    if (this.over || this.state === 'closed' || this.state === 'listen') return;
    const { sender } = this;
    if (now >= this.handshakeAt) this.sendHandshake();
    if (now >= sender.rtoAt) sender.onRetransmissionTimer(now);
    if (now >= sender.tailAt) sender.onTailTimer(now);
    if (now >= sender.persistAt) sender.onPersistTimer(now);
    if (now >= this.ackAt) this.sendAck();
    if (now >= this.keepaliveAt) this.#keepalive();
    this.arm();
  }

  #keepalive(): void {
    this.keepaliveAt = this.events.now + this.config.keepalive;
    const { una, nxt } = this.sender;
    if (this.state !== 'established' || una < nxt) return;
    const garbage = this.config.keepaliveByte && una > 1 && !this.sender.fin ? 1 : 0;
    this.transmit(una - 1, garbage, TcpFlag.Ack, una - 2 + this.map.sendShift);
  }
}
