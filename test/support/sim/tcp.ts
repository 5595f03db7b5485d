/**
 * A simulated TCP end, faithful to Linux where a middlebox can tell: handshake, acceptability of segments
 * (RFC 9293 section 3.10.7.4, with Linux's own left edge), PAWS (RFC 7323), exact resets (RFC 5961),
 * the sequence numbers of bare acks, delayed acks, probes. It checks every byte and every field that it is
 * told, and reports what no correct network could have told it.
 */

import { OptionBit, TcpFlag, type TcpSegment } from '../../../src/wire/segment.js';
import type { Packet } from './packet.js';

import { TcpOutput } from './tcp-output.js';

const NEVER = Number.POSITIVE_INFINITY;
const DELAYED_ACK = 40;
const INVALID_RATE_LIMIT = 500;
const PAWS_SLACK = 1;

export class TcpEnd extends TcpOutput {
  #passiveClose = false;
  #highestEdge = 0;
  #lastInvalid = -NEVER;

  // What an application does.

  listen(): void {
    this.state = 'listen';
  }

  connect(): void {
    this.state = 'syn-sent';
    this.sender.nxt = 1;
    this.sendHandshake();
  }

  get readable(): number {
    return this.state === 'listen' || this.state === 'syn-sent' ? 0 : this.receiver.unread;
  }

  /** The other end has finished and everything was read. */
  get ended(): boolean {
    return this.receiver.finished && this.receiver.unread === 0;
  }

  get writable(): number {
    if (this.sender.fin || this.state !== 'established') return 0;
    return Math.max(0, this.config.sendBuffer - (this.sender.written - Math.max(1, this.sender.una)));
  }

  get writtenBytes(): number {
    return this.sender.written - 1;
  }

  read(bytes: number): void {
    this.receiver.read += bytes;
    if (this.state === 'established' && !this.receiver.finished && this.receiver.windowGrew()) this.sendAck();
    this.arm();
  }

  write(bytes: number): void {
    this.sender.written += bytes;
    this.sender.push(this.events.now);
    this.arm();
  }

  shutdown(): void {
    if (this.sender.fin || this.state !== 'established') return;
    this.sender.fin = true;
    this.#passiveClose = this.receiver.finished;
    this.sender.push(this.events.now);
    this.arm();
  }

  abort(): void {
    const synchronized = this.state === 'established' || this.state === 'syn-received';
    this.state = 'reset';
    if (synchronized) this.transmit(this.acceptableSequence(), 0, TcpFlag.Rst | TcpFlag.Ack, 0);
  }

  // Input.

  receive(packet: Packet): void {
    const { segment } = packet;
    switch (this.state) {
      case 'closed':
      case 'reset':
      case 'done':
        this.refuse(segment);
        break;
      case 'listen':
        if (segment.has(TcpFlag.Syn) && !segment.has(TcpFlag.Ack)) this.#accept(segment);
        break;
      case 'syn-sent':
        this.#onSynSent(segment);
        break;
      default:
        if (this.#acceptable(packet)) this.#onSegment(packet);
    }
    this.arm();
  }

  #negotiate(syn: TcpSegment): void {
    const { config } = this;
    this.peerIss = syn.seq;
    this.receiver.next = 1;
    this.receiver.told = 1;
    this.timestamps = config.timestamps && syn.hasOption(OptionBit.Timestamps);
    this.sack = config.sack && syn.hasOption(OptionBit.SackPermitted);
    this.scaled = config.windowScale >= 0 && syn.hasOption(OptionBit.WindowScale);
    this.sendScale = this.scaled ? Math.min(14, syn.windowScale) : 0;
    this.receiver.scale = this.scaled ? config.windowScale : 0;
    if (this.timestamps) this.receiver.tsRecent = syn.tsval;
    const peerMss = syn.hasOption(OptionBit.Mss) ? syn.mss : 536;
    if (peerMss < 536) this.around.fault('options', `the MSS became ${peerMss}`);
    this.sender.start(Math.min(config.mss, Math.max(536, peerMss)) - (this.timestamps ? 12 : 0));
    this.sender.sack = this.sack;
    this.sender.wnd = syn.window;
    this.sender.wl1 = 0;
  }

  #accept(syn: TcpSegment): void {
    this.state = 'syn-received';
    this.#negotiate(syn);
    this.sender.nxt = 1;
    this.sendHandshake();
  }

  #onSynSent(segment: TcpSegment): void {
    if (segment.has(TcpFlag.Ack) && this.ackPosition(segment.ack) !== 1) {
      this.around.fault('ack-unsent', 'a handshake ack for something else than the SYN');
      return;
    }
    if (segment.has(TcpFlag.Rst)) {
      if (segment.has(TcpFlag.Ack)) this.#onReset();
      return;
    }
    if (!segment.has(TcpFlag.Syn) || !segment.has(TcpFlag.Ack)) return;
    this.#negotiate(segment);
    this.#established();
    this.sendAck();
    this.owner?.onEstablished();
  }

  #established(): void {
    this.state = 'established';
    this.sender.una = 1;
    this.handshakeAt = NEVER;
    this.keepaliveAt = this.events.now + this.config.keepalive;
    this.#highestEdge = this.sender.windowEnd;
  }

  /** RFC 9293 section 3.10.7.4 first to fourth step, in Linux's order (tcp_validate_incoming). */
  #acceptable(packet: Packet): boolean {
    const { segment } = packet;
    const { receiver } = this;
    const start = this.dataPosition(segment.seq);
    const end = start + segment.sequenceLength;
    const rst = segment.has(TcpFlag.Rst);
    if (this.state === 'syn-received' && segment.has(TcpFlag.Syn) && start === 0) {
      this.sendHandshake();
      return false;
    }
    if (!rst && !segment.has(TcpFlag.Syn)) this.#checkOptions(segment);
    if (this.timestamps && segment.hasOption(OptionBit.Timestamps) && !rst && this.#tooOld(segment)) {
      if (segment.sequenceLength === 0 && start === receiver.next) return false;
      if (end > receiver.next && start <= receiver.edge && !receiver.has(start, end))
        this.#pawsDropped(packet);
      if (end <= receiver.next) receiver.duplicateSegment(start, end);
      this.#answerInvalid(segment);
      return false;
    }
    if (!this.#inWindow(segment, start, end)) {
      if (rst) return false;
      if (end <= receiver.next) receiver.duplicateSegment(start, end);
      this.#answerInvalid(segment);
      return false;
    }
    if (rst) {
      if (start === receiver.next) this.#onReset();
      else this.#answerInvalid(segment);
      return false;
    }
    if (segment.has(TcpFlag.Syn)) {
      this.#answerInvalid(segment);
      return false;
    }
    return segment.has(TcpFlag.Ack);
  }

  #inWindow(segment: TcpSegment, start: number, end: number): boolean {
    const { receiver, config } = this;
    const right = Math.max(receiver.edge, receiver.next);
    if (config.strictLeft) {
      if (end === start) return start >= receiver.next && start <= right;
      return end > receiver.next && start < Math.max(right, receiver.next + 1);
    }
    if (end < receiver.told) return false;
    const finless = segment.has(TcpFlag.Fin) ? end - 1 : end;
    if (finless <= right) return true;
    if (start > right) return false;
    return !(config.strictRight && receiver.unread > 0);
  }

  #tooOld(segment: TcpSegment): boolean {
    return ((this.receiver.tsRecent - segment.tsval) | 0) > PAWS_SLACK;
  }

  #pawsDropped(packet: Packet): void {
    this.pawsDrops++;
    const { receiver } = this;
    const inNetwork = packet.left < receiver.tsLeft;
    const atProducer = packet.producer === receiver.tsProducer && packet.made < receiver.tsMade;
    if (inNetwork || atProducer) return;
    this.around.fault('paws', `new data dropped: TSval ${packet.segment.tsval} after ${receiver.tsRecent}`);
  }

  #answerInvalid(segment: TcpSegment): void {
    if (segment.payloadLength === 0 || segment.has(TcpFlag.Syn)) {
      if (this.events.now - this.#lastInvalid < INVALID_RATE_LIMIT) return;
      this.#lastInvalid = this.events.now;
    }
    this.sendAck();
  }

  #onReset(): void {
    if (this.state === 'time-wait') return;
    this.state = 'reset';
    this.wasReset = true;
    this.owner?.onReset();
  }

  #checkOptions(segment: TcpSegment): void {
    const stamped = segment.hasOption(OptionBit.Timestamps);
    if (stamped !== this.timestamps)
      this.around.fault('options', `timestamps: ${stamped}, agreed: ${this.timestamps}`);
    if (segment.hasOption(OptionBit.Sack) && !this.sack) this.around.fault('options', 'SACK was not agreed');
    if (stamped && segment.has(TcpFlag.Ack)) {
      const ahead = (segment.tsecr - this.timestampNow()) | 0;
      // Clocks of other rates drift apart while a flow drains; a wrong delta is off by far more.
      const slack = 1000 + 10 * this.events.now;
      if (Math.abs(ahead) > slack) this.around.fault('tsecr', `TSecr is ${ahead} from its clock`);
    }
  }

  #onSegment(packet: Packet): void {
    const { segment } = packet;
    const start = this.dataPosition(segment.seq);
    const ack = this.ackPosition(segment.ack);
    const { sender, receiver } = this;
    if (ack > sender.nxt) {
      this.around.fault('ack-unsent', `acks ${ack}, sent was up to ${sender.nxt}`);
      return;
    }
    if (this.timestamps && segment.hasOption(OptionBit.Timestamps) && start <= receiver.told) {
      if (((receiver.tsRecent - segment.tsval) | 0) <= 0) {
        receiver.tsRecent = segment.tsval;
        receiver.tsLeft = packet.left;
        receiver.tsProducer = packet.producer;
        receiver.tsMade = packet.made;
      }
    }
    this.keepaliveAt = this.events.now + this.config.keepalive;
    const opening = this.state === 'syn-received';
    if (opening) {
      if (ack < 1) return;
      this.#established();
    }
    this.#onAck(segment, start, ack);
    this.#onData(packet, start);
    if (opening) this.owner?.onEstablished();
    if (this.state !== 'established') return;
    sender.push(this.events.now);
    this.#settle();
    this.owner?.onProgress();
  }

  #onAck(segment: TcpSegment, start: number, ack: number): void {
    const { sender } = this;
    this.#onSack(segment);
    if (ack < sender.una) return;
    const window = segment.window << this.sendScale;
    // Linux tcp_may_update_window.
    let changed = false;
    if (
      ack > sender.una ||
      start > sender.wl1 ||
      (start === sender.wl1 && (window > sender.wnd || window === 0))
    ) {
      changed = window !== sender.wnd;
      sender.wl1 = start;
      sender.wnd = window;
      this.#checkEdge(ack + window, window);
    }
    sender.acked(ack, segment.sequenceLength === 0 && !changed, this.events.now);
  }

  #checkEdge(edge: number, window: number): void {
    if (edge >= this.#highestEdge) this.#highestEdge = edge;
    else if (window > 0) this.retreat = Math.max(this.retreat, this.#highestEdge - edge);
  }

  #onSack(segment: TcpSegment): void {
    const { sender } = this;
    for (let i = 0; i < segment.sackCount; i++) {
      const left = this.ackPosition(segment.sackLeft[i] as number);
      const right = this.ackPosition(segment.sackRight[i] as number);
      if (right > sender.nxt || right <= left) {
        this.around.fault('sack-unsent', `SACK ${left}–${right}, sent was up to ${sender.nxt}`);
        return;
      }
      if (right > sender.una) sender.sacked.add(Math.max(left, sender.una), right);
    }
  }

  #onData(packet: Packet, start: number): void {
    const { segment } = packet;
    const { receiver } = this;
    if (segment.sequenceLength === 0) return;
    const end = start + segment.sequenceLength;
    const dataEnd = start + segment.payloadLength;
    if (
      segment.payloadLength > 0 &&
      dataEnd > receiver.next &&
      packet.content !== start - 1 + this.map.receiveShift
    ) {
      const expected = start - 1 + this.map.receiveShift;
      this.around.fault('content', `byte ${packet.content} came where ${expected} belongs`);
      return;
    }
    const before = receiver.next;
    const inOrder = start <= before;
    const fresh = receiver.take(start, end, segment.has(TcpFlag.Fin));
    this.unackedBytes += receiver.next - before;
    const hole = receiver.outOfOrder.count > 0;
    const prompt = this.config.quickAck || this.unackedBytes >= 2 * this.config.mss;
    if (!fresh || !inOrder || hole || receiver.finished || prompt) this.sendAck();
    else if (this.ackAt === NEVER) this.ackAt = this.events.now + DELAYED_ACK;
  }

  /** Both directions finished and acked: the one that finished second forgets at once. */
  #settle(): void {
    const { sender, receiver } = this;
    if (!receiver.finished || !sender.fin || sender.una < sender.limit) return;
    this.state = this.#passiveClose ? 'done' : 'time-wait';
    this.ackAt = NEVER;
    this.keepaliveAt = NEVER;
  }
}
