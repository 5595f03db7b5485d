/**
 * A TCP segment as numbers: the plain form ("Repr") of a TCP header, which the flow engine reads and edits.
 *
 * It holds no addresses and no payload, only how long the payload is. Instances are reused from packet to
 * packet, so every field is a number or a boolean and nothing here allocates. `tcp.ts` fills one from
 * bytes and writes one back.
 */
import { type SeqNum, seqAdd, seqNum } from './seq.js';

/** TCP header flags (RFC 9293 section 3.1; ECE and CWR RFC 3168). */
export const TcpFlag = {
  Fin: 0x01,
  Syn: 0x02,
  Rst: 0x04,
  Psh: 0x08,
  Ack: 0x10,
  Urg: 0x20,
  Ece: 0x40,
  Cwr: 0x80,
} as const;

/** Options that a segment carries, as bits of `TcpSegment.options`. */
export const OptionBit = {
  Mss: 0x001,
  WindowScale: 0x002,
  SackPermitted: 0x004,
  Sack: 0x008,
  Timestamps: 0x010,
  FastOpen: 0x020,
  Mptcp: 0x040,
  Md5: 0x080,
  Ao: 0x100,
  Unknown: 0x200,
} as const;

/** RFC 2018 section 3: 40 bytes of options hold at most four blocks. */
export const MAX_SACK_BLOCKS = 4;

export class TcpSegment {
  seq: SeqNum = seqNum(0);
  /** Meaningful only when the ACK flag is set. */
  ack: SeqNum = seqNum(0);
  /** `TcpFlag` bits. */
  flags = 0;
  /** The 16-bit field as it stands in the header, unscaled. */
  window = 0;
  urgent = 0;
  /** Bytes of data after the header. */
  payloadLength = 0;
  /** `OptionBit`s. Clearing one and writing the segment back overwrites that option with NOPs. */
  options = 0;
  mss = 0;
  windowScale = 0;
  tsval = 0;
  tsecr = 0;
  sackCount = 0;
  readonly sackLeft = new Uint32Array(MAX_SACK_BLOCKS);
  readonly sackRight = new Uint32Array(MAX_SACK_BLOCKS);

  /** Length in sequence space: data, and one each for SYN and FIN (RFC 9293 section 3.4). */
  get sequenceLength(): number {
    let length = this.payloadLength;
    if (this.flags & TcpFlag.Syn) length += 1;
    if (this.flags & TcpFlag.Fin) length += 1;
    return length;
  }

  /** The sequence number after the last one that this segment occupies. */
  get end(): SeqNum {
    return seqAdd(this.seq, this.sequenceLength);
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  hasOption(bit: number): boolean {
    return (this.options & bit) !== 0;
  }

  copyFrom(other: TcpSegment): this {
    this.seq = other.seq;
    this.ack = other.ack;
    this.flags = other.flags;
    this.window = other.window;
    this.urgent = other.urgent;
    this.payloadLength = other.payloadLength;
    this.options = other.options;
    this.mss = other.mss;
    this.windowScale = other.windowScale;
    this.tsval = other.tsval;
    this.tsecr = other.tsecr;
    this.sackCount = other.sackCount;
    this.sackLeft.set(other.sackLeft);
    this.sackRight.set(other.sackRight);
    return this;
  }

  clear(): this {
    return this.copyFrom(EMPTY);
  }
}

const EMPTY = new TcpSegment();
