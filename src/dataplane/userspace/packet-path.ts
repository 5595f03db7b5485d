/**
 * The packet's way through the userspace path: captured frame → `FrameView` → flow engine → raw socket.
 *
 * What is not ours, and what the gate leaves to the host (fragments, a TTL that ends here), is not touched:
 * the host has forwarded it already. What is ours is sent by us and by nobody else. Super-frames, which the
 * kernel hands up when an interface offloads segmentation, are cut to what the receiver takes; so no
 * interface setting needs to be changed.
 *
 * A packet costs no allocation of ours; `cap` and `raw-socket` make a few small ones each.
 */
import { type FlowEngine, Verdict } from '../../flow/engine.js';
import { IcmpTarget } from '../../flow/icmp.js';
import type { Emission } from '../../flow/outbox.js';
import { buildTcp, MAX_BUILT } from '../../wire/build.js';
import { ChecksumState, FrameKind, FrameView } from '../../wire/frame.js';
import { IcmpErrorView, isIcmpChecksumValid, translateIcmpError } from '../../wire/icmp-error.js';
import { computeChecksum, decrementTtl, rewriteTcp } from '../../wire/rewrite.js';
import { TcpSegment } from '../../wire/segment.js';
import { Segmenter } from '../../wire/segmenter.js';
import { readSegment, TcpParse } from '../../wire/tcp.js';
import { Tuple } from '../../wire/tuple.js';
import { type Sender, SendResult } from './sender.js';

const HOP_LIMIT = 64;
const IPV4_AND_TCP = 40;
const IPV6_AND_TCP = 60;

/** Packets, by what became of them. */
class PacketCounters {
  received = 0;
  host = 0;
  passed = 0;
  translated = 0;
  made = 0;
  split = 0;
  fragments = 0;
  malformed = 0;
  badChecksum = 0;
  truncated = 0;
  icmpTranslated = 0;
  sendTooBig = 0;
  sendFailed = 0;
}

export class PacketPath {
  readonly counters = new PacketCounters();
  private readonly frame = new FrameView();
  private readonly segment = new TcpSegment();
  private readonly tuple = new Tuple();
  private readonly icmp = new IcmpErrorView();
  private readonly icmpTarget = new IcmpTarget();
  private readonly segmenter = new Segmenter();
  private readonly built = Buffer.alloc(MAX_BUILT);

  constructor(
    private readonly engine: FlowEngine,
    private readonly sender: Pick<Sender, 'sendIpv4' | 'sendIpv6'>,
    /** The smallest MTU of the interfaces, bytes: nothing larger is sent. */
    public mtu: number,
  ) {}

  /** An Ethernet frame that came in. The buffer is overwritten where the packet is sent on. */
  receive(bytes: Uint8Array, length: number, truncated: boolean, now: number): void {
    const { counters, frame } = this;
    counters.received++;
    if (truncated) {
      counters.truncated++;
      return;
    }
    const kind = frame.parse(bytes, length);
    // It belongs to an interface of its own, where it comes by again without its tag.
    if (frame.isOnVlan) counters.host++;
    else if (kind === FrameKind.Tcp) this.receiveTcp(now);
    else if (kind === FrameKind.IcmpError) this.receiveIcmpError();
    else if (kind === FrameKind.Fragment) counters.fragments++;
    else if (kind === FrameKind.Malformed) counters.malformed++;
    else counters.host++;
  }

  /** Sends what the engine made outside of `receive`: after a tick or a request. */
  sendMade(): void {
    const { outbox } = this.engine;
    for (let i = 0; i < outbox.count; i++) this.sendEmission(outbox.at(i));
  }

  private receiveTcp(now: number): void {
    const { counters, engine, frame, segment, tuple } = this;
    if (frame.ttl <= 1) {
      counters.host++;
      return;
    }
    frame.readTuple(tuple);
    const state = frame.checksumState();
    if (state === ChecksumState.Bad) {
      // Its receiver would drop it. Ours to drop, or forwarded by the host already.
      counters.badChecksum++;
      return;
    }
    if (readSegment(frame.bytes, frame.l4, frame.end, segment) === TcpParse.Malformed) {
      counters.malformed++;
      if (engine.carries(tuple)) this.passOn(state, 0);
      return;
    }
    const verdict = engine.receive(tuple, segment, now);
    if (verdict === Verdict.Emit) this.sendOutbox(state);
    else if (verdict === Verdict.Pass) this.passOn(state, engine.passMss);
    else counters.host++;
  }

  /** Byte for byte, but for the TTL and a checksum that the sender left to its interface. */
  private passOn(state: ChecksumState, mss: number): void {
    const { counters, frame, segment } = this;
    counters.passed++;
    decrementTtl(frame);
    const limit = this.segmentLimit(mss);
    if (frame.end - frame.l3 > this.mtu || segment.payloadLength > limit) {
      this.sendSplit(this.tuple, segment, limit);
      return;
    }
    if (state === ChecksumState.Partial) computeChecksum(frame);
    this.send(frame.bytes, frame.l3, frame.end, this.tuple);
  }

  private sendOutbox(state: ChecksumState): void {
    const { outbox } = this.engine;
    decrementTtl(this.frame);
    // The frame's own headers are overwritten only by the last that is made of them.
    let last = outbox.count - 1;
    while (last >= 0 && outbox.at(last).made) last--;
    for (let i = 0; i < outbox.count; i++) {
      const emission = outbox.at(i);
      if (i !== last || !this.sendInPlace(emission, state)) this.sendEmission(emission);
    }
  }

  /** The whole received packet, edited; false where it is not that or does not fit. */
  private sendInPlace(emission: Emission, state: ChecksumState): boolean {
    const { frame } = this;
    const { segment, tuple } = emission;
    const length = frame.end - frame.payloadStart;
    if (segment.payloadLength !== length) return false;
    if (length > 0 && frame.end - frame.l4 - 20 > this.segmentLimit(emission.mss)) return false;
    if (!rewriteTcp(frame, segment, tuple, state)) return false;
    this.counters.translated++;
    this.send(frame.bytes, frame.l3, frame.end, tuple);
    return true;
  }

  private sendEmission(emission: Emission): void {
    if (!emission.made) {
      this.counters.translated++;
      const limit = this.segmentLimit(emission.mss);
      this.sendSplit(emission.tuple, emission.segment, limit);
      return;
    }
    this.counters.made++;
    const length = buildTcp(this.built, emission.tuple, emission.segment, HOP_LIMIT);
    this.send(this.built, 0, length, emission.tuple);
  }

  private sendSplit(tuple: Tuple, segment: TcpSegment, limit: number): void {
    const { frame, segmenter } = this;
    if (!segmenter.begin(frame, segment, tuple, 0, segment.payloadLength, limit)) return;
    let count = 0;
    while (segmenter.next()) {
      this.send(frame.bytes, segmenter.start, segmenter.end, tuple);
      count++;
    }
    if (count > 1) this.counters.split++;
  }

  /** Largest payload plus options that the receiver and the way to it take; an `mss` of 0 is not known. */
  private segmentLimit(mss: number): number {
    const room = this.mtu - (this.frame.ipVersion === 6 ? IPV6_AND_TCP : IPV4_AND_TCP);
    return mss === 0 ? room : Math.min(mss, room);
  }

  /** An ICMP error about a packet that was translated belongs to the end that sent that packet. */
  private receiveIcmpError(): void {
    const { counters, engine, frame, icmp, icmpTarget } = this;
    const known = icmp.read(frame) && isIcmpChecksumValid(frame);
    if (known) engine.notePathMtu(icmp.tuple, icmp.mtu);
    const mine = known && engine.icmpTarget(icmp.tuple, icmp.seq, icmpTarget);
    if (!mine || !decrementTtl(frame)) {
      counters.host++;
      return;
    }
    frame.readTuple(this.tuple);
    this.tuple.words.set(icmpTarget.quoted.words.subarray(0, 4), 4);
    if (translateIcmpError(frame, icmp, this.tuple, icmpTarget.quoted, icmpTarget.seq)) {
      counters.icmpTranslated++;
      this.send(frame.bytes, frame.l3, frame.end, this.tuple);
    }
  }

  private send(bytes: Uint8Array, start: number, end: number, tuple: Tuple): void {
    const { words } = tuple;
    const result = tuple.isIpv4
      ? this.sender.sendIpv4(bytes, start, end, words[7] as number)
      : this.sender.sendIpv6(bytes, start, end, words, 4);
    if (result === SendResult.TooBig) this.counters.sendTooBig++;
    else if (result === SendResult.Failed) this.counters.sendFailed++;
  }
}
