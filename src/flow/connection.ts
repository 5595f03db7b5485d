/**
 * One TCP connection between the shell (A) and a far end (X: the peer E on the outer connection, the core B
 * on the inner one), as a switch sees it pass.
 *
 * "Sent" values are what a side put on the wire; "told" values are what the far end was last given, by A or
 * by the switch in A's place. Until a cut the two are the same. All numbers are as they stand on this
 * connection's wire; nothing here allocates after construction.
 */
import { OptionBit, TcpFlag, type TcpSegment } from '../wire/segment.js';
import { type SeqNum, seqAdd, seqAfter, seqDiff, seqMax, seqNum } from '../wire/seq.js';
import type { Tuple } from '../wire/tuple.js';
import type { Flow } from './flow.js';

/** RFC 9293 section 3.7.1: what an end takes when its SYN names no MSS. */
const DEFAULT_MSS_IPV4 = 536;
const DEFAULT_MSS_IPV6 = 1220;
/** RFC 7323 section 2.3. */
const MAX_WINDOW_SCALE = 14;

/** What one side of a connection has sent so far. */
export class Sender {
  /** Initial sequence number; meaningful when `synSeen`. */
  isn: SeqNum = seqNum(0);
  synSeen = false;
  /** `OptionBit`s and ECN request of its SYN, as the other side received it. */
  synOptions = 0;
  synEcn = false;
  mss = 0;
  /** The same by what routers said of packets for it (RFC 1191, RFC 8201). */
  pathMss = Number.POSITIVE_INFINITY;
  windowScale = 0;
  /** Highest sequence number after a segment that it sent; a bare ack tells of data that got lost on its way. */
  max: SeqNum = seqNum(0);
  /** The same of segments with data: what was seen to pass. */
  dataMax: SeqNum = seqNum(0);
  /** Highest acknowledgment that it sent. */
  ack: SeqNum = seqNum(0);
  ackSeen = false;
  /** Right edge of the window that it offers. */
  edge: SeqNum = seqNum(0);
  tsval = 0;
  /** When `tsval` passed, ms. */
  tsvalAt = 0;
  /** Sequence number after its FIN, when `finSeen`. */
  finEnd: SeqNum = seqNum(0);
  finSeen = false;
  /** Of a restored flow: it has sent a packet since. */
  heard = false;
  packets = 0;
  /** Stream bytes, each counted once. */
  bytes = 0;

  /** It has sent all up to `end`, seen or not; the FIN, which may be the last of it, is no byte. */
  noteSent(end: SeqNum): void {
    const dataEnd = this.finSeen && end === this.finEnd ? seqAdd(end, -1) : end;
    const fresh = seqDiff(dataEnd, this.dataMax);
    if (fresh <= 0) return;
    this.bytes += fresh;
    this.dataMax = dataEnd;
  }

  /** Largest payload with options that it and the way to it take, bytes. */
  get segmentLimit(): number {
    return Math.min(this.mss, this.pathMss);
  }
}

export class Connection {
  /** X's side and A's side. */
  readonly far = new Sender();
  readonly shell = new Sender();

  /** Both sides agreed on it; set when the second SYN passes. */
  timestamps = false;
  sack = false;
  ecn = false;
  /** A reset that counts was seen, from … */
  resetBy: 'far' | 'shell' | undefined;

  /** The marks below are set. */
  toldAny = false;
  private wasEstablished = false;
  /** Highest ack that X was given. */
  toldAck: SeqNum = seqNum(0);
  /** Right edge that X was last given, and the highest one ever. */
  toldEdge: SeqNum = seqNum(0);
  toldMax: SeqNum = seqNum(0);
  /** Latest TSval that X was given. */
  toldTsval = 0;
  /** Highest ack and right edge of X's that A was given. */
  toldShellAck: SeqNum = seqNum(0);
  toldShellEdge: SeqNum = seqNum(0);

  /** Once enabled: X's sequence numbers plus this are A's on the other connection. */
  delta = 0;
  /** X's timestamps plus this are A's on the other connection. */
  tsDelta = 0;
  /** First sequence number of X's that has a counterpart on the other connection. */
  transparentFrom: SeqNum = seqNum(0);
  /** Bytes of X's below this travel by way of A, those from here on go straight to the far end. */
  cut: SeqNum = seqNum(0);
  /**
   * The end of all that X had sent at the cut, lost bytes included. Bare acks for the shell carry it: a lower
   * number would be older than what the shell's kernel last took a window from (RFC 9293 section 3.10.7.4).
   */
  cutMax: SeqNum = seqNum(0);

  flow: Flow | undefined;
  /** The other connection of the flow; only meaningful when `flow` is set. */
  other: Connection;
  /** The agents were told of X's FIN. */
  finReported = false;
  /** X's FIN, or its RST, is held: Y does not have it yet. */
  finHeld = false;
  resetHeld = false;
  /** X's FIN was sent to Y by the switch, which repeats it until Y acknowledges it. */
  finSent = false;
  /** Of a copy (`carry.ts`): when a packet of X's went to the leader last, and its number. */
  steeredAt: number | undefined;
  steeredSeq: SeqNum = seqNum(0);
  /** When X was asked last where it stands (`share.ts`), and where its own stream and Y's end by the RST that led to it. */
  askedAt: number | undefined;
  askedEnd: SeqNum = seqNum(0);
  askedAck: SeqNum = seqNum(0);
  lastPacketAt: number;

  constructor(
    readonly side: 'outer' | 'inner',
    /** Tuple of packets from X to A. */
    readonly toShell: Tuple,
    /** Tuple of packets from A to X. */
    readonly toFar: Tuple,
    now: number,
  ) {
    this.other = this;
    this.lastPacketAt = now;
  }

  /** Each side's SYN was acknowledged by the other. Once true it stays so: the numbers wrap. */
  get established(): boolean {
    const { far, shell } = this;
    this.wasEstablished ||=
      far.synSeen &&
      shell.synSeen &&
      far.ackSeen &&
      shell.ackSeen &&
      seqAfter(far.ack, shell.isn) &&
      seqAfter(shell.ack, far.isn);
    return this.wasEstablished;
  }

  /** Its handshake was another switch's. */
  becomeEstablished(): void {
    this.wasEstablished = true;
  }

  /** Both FINs were acknowledged, or a reset ended it. */
  get finished(): boolean {
    if (this.resetBy) return true;
    const { far, shell } = this;
    return (
      far.finSeen &&
      shell.finSeen &&
      seqDiff(shell.ack, far.finEnd) >= 0 &&
      seqDiff(far.ack, shell.finEnd) >= 0
    );
  }

  /** Takes note of a SYN or SYN-ACK, from the far end or from the shell. The segment is as it is sent on. */
  noteSyn(segment: TcpSegment, fromShell: boolean): void {
    const sender = fromShell ? this.shell : this.far;
    const receiver = fromShell ? this.far : this.shell;
    if (sender.synSeen && (sender.isn === segment.seq || receiver.ackSeen)) return;
    sender.synSeen = true;
    sender.isn = segment.seq;
    sender.max = segment.end;
    sender.dataMax = segment.end;
    sender.bytes = segment.payloadLength;
    sender.synOptions = segment.options;
    const answer = segment.has(TcpFlag.Ack);
    const ecnBits = segment.flags & (TcpFlag.Ece | TcpFlag.Cwr);
    // RFC 3168 section 6.1.1: a SYN asks with ECE and CWR, a SYN-ACK agrees with ECE alone.
    sender.synEcn = ecnBits === (answer ? TcpFlag.Ece : TcpFlag.Ece | TcpFlag.Cwr);
    const defaultMss = this.toFar.isIpv4 ? DEFAULT_MSS_IPV4 : DEFAULT_MSS_IPV6;
    sender.mss = segment.hasOption(OptionBit.Mss) && segment.mss > 0 ? segment.mss : defaultMss;
    sender.windowScale = Math.min(segment.windowScale, MAX_WINDOW_SCALE);
    if (segment.hasOption(OptionBit.Timestamps)) sender.tsval = segment.tsval;
    if (!receiver.synSeen) return;
    const both = this.far.synOptions & this.shell.synOptions;
    this.timestamps = (both & OptionBit.Timestamps) !== 0;
    this.sack = (both & OptionBit.SackPermitted) !== 0;
    this.ecn = this.far.synEcn && this.shell.synEcn;
    if ((both & OptionBit.WindowScale) === 0) {
      this.far.windowScale = 0;
      this.shell.windowScale = 0;
    }
  }

  /** Takes note of a segment from the far end. */
  trackFar(segment: TcpSegment, now: number): void {
    this.lastPacketAt = now;
    track(this.far, segment, now);
  }

  /** Takes note of a segment of the shell's, before any editing. */
  trackShell(segment: TcpSegment, now: number): void {
    this.lastPacketAt = now;
    track(this.shell, segment, now);
  }

  /** Takes note of what `segment` tells the far end, as it leaves for it. */
  noteToldFar(segment: TcpSegment): void {
    if (segment.hasOption(OptionBit.Timestamps) && !segment.has(TcpFlag.Rst)) {
      const isNewer = ((segment.tsval - this.toldTsval) | 0) > 0;
      if (segment.has(TcpFlag.Syn) || !this.toldAny || isNewer) this.toldTsval = segment.tsval;
    }
    if (!segment.has(TcpFlag.Ack) || segment.has(TcpFlag.Rst)) return;
    const scale = segment.has(TcpFlag.Syn) ? 0 : this.shell.windowScale;
    const edge = seqAdd(segment.ack, segment.window * 2 ** scale);
    if (!this.toldAny) {
      // The first ack starts the marks: a signed comparison with an unset 0 means nothing.
      this.toldAny = true;
      this.toldAck = segment.ack;
      this.toldMax = edge;
    }
    if (seqDiff(segment.ack, this.toldAck) < 0) return;
    this.toldAck = segment.ack;
    this.toldEdge = edge;
    this.toldMax = seqMax(this.toldMax, edge);
  }

  /** Takes note of what `segment` tells the shell, as it leaves for it. */
  noteToldShell(segment: TcpSegment): void {
    if (!segment.has(TcpFlag.Ack) || segment.has(TcpFlag.Rst)) return;
    this.toldShellAck = seqMax(this.toldShellAck, segment.ack);
    const scale = segment.has(TcpFlag.Syn) ? 0 : this.far.windowScale;
    this.toldShellEdge = seqAdd(segment.ack, segment.window * 2 ** scale);
  }
}

function track(sender: Sender, segment: TcpSegment, now: number): void {
  sender.packets++;
  if (segment.has(TcpFlag.Rst)) return;
  if (!segment.has(TcpFlag.Syn) && sender.synSeen) {
    const isFin = segment.has(TcpFlag.Fin);
    // A FIN tells how much there was, whatever way that took.
    if (segment.payloadLength > 0 || isFin) sender.noteSent(seqAdd(segment.seq, segment.payloadLength));
    if (isFin && !sender.finSeen) {
      sender.finSeen = true;
      sender.finEnd = segment.end;
    }
    sender.max = seqMax(sender.max, segment.end);
  }
  if (segment.has(TcpFlag.Ack)) trackAck(sender, segment);
  // The first packet with a value tells when it was; a late duplicate would tell too late.
  const isNewer = ((segment.tsval - sender.tsval) | 0) > 0 || sender.tsvalAt === 0;
  if (segment.hasOption(OptionBit.Timestamps) && isNewer) {
    sender.tsval = segment.tsval;
    sender.tsvalAt = now;
  }
}

/**
 * A window belongs to the ack that it came with: a new ack brings a new edge, also a smaller one; the same
 * ack can only open it further, because a smaller edge then is an older packet (RFC 9293 section 3.10.7.4).
 */
function trackAck(sender: Sender, segment: TcpSegment): void {
  const scale = segment.has(TcpFlag.Syn) ? 0 : sender.windowScale;
  const edge = seqAdd(segment.ack, segment.window * 2 ** scale);
  if (!sender.ackSeen || seqAfter(segment.ack, sender.ack)) {
    sender.ackSeen = true;
    sender.ack = segment.ack;
    sender.edge = edge;
  } else if (segment.ack === sender.ack && seqAfter(edge, sender.edge)) {
    sender.edge = edge;
  }
}
