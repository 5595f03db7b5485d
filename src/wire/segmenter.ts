/**
 * Cuts IP packets out of a received TCP frame: a part of its payload, trimmed away or split into segments
 * that the receiver takes, as an interface with segmentation offload does (TSO).
 *
 * Each packet is made in the frame's own buffer, its headers directly before its part of the payload, over
 * bytes that are put back before the next one. So the payload is never copied, and after the last packet the
 * frame is as it was before the first. Nothing here allocates after construction, or throws.
 */
import { copyBytes, readU16, writeI32, writeU16 } from './bytes.js';
import { finishChecksum, sumBytes } from './checksum.js';
import type { FrameView } from './frame.js';
import { isFamilyOf, pseudoSum, writeAddresses } from './ip.js';
import { IPV4, setIpv4Word } from './ipv4.js';
import { IPV6, MAX_EXTENSIONS } from './ipv6.js';
import { TcpFlag, type TcpSegment } from './segment.js';
import { seqAdd } from './seq.js';
import { TCP, TCP_MAX_HEADER, writeSegment } from './tcp.js';
import type { Tuple } from './tuple.js';
import { IpProto } from './types.js';

/** The longest IP and TCP headers that a frame of kind Tcp can have. */
const MAX_HEADERS = IPV6.header + MAX_EXTENSIONS * 256 * 8 + TCP_MAX_HEADER;
/** What Linux leaves of its least MSS, 48, beside 40 bytes of options: a tiny MSS must not make a flood. */
const MIN_CHUNK = 8;

/**
 * ```
 * segmenter.begin(frame, segment, tuple, from, to, mss);
 * while (segmenter.next()) send(frame.bytes, segmenter.start, segmenter.end);
 * ```
 */
export class Segmenter {
  /** The packet last made: `frame.bytes` from `start` to `end`, until `next` or `finish`. */
  start = 0;
  end = 0;
  readonly #headers = new Uint8Array(MAX_HEADERS);
  readonly #covered = new Uint8Array(MAX_HEADERS);
  #bytes: Uint8Array = this.#headers;
  #ipVersion = 0;
  #headerLength = 0;
  #l4 = 0;
  #payloadStart = 0;
  #segment: TcpSegment | undefined;
  #from = 0;
  #at = 0;
  #to = 0;
  #chunk = 0;
  #count = 0;
  #isLast = true;
  #isCovering = false;

  /**
   * Prepares packets for the payload bytes `from` … `to` (exclusive) of `frame`; with none, one packet without
   * payload. `segment` was read from this frame and edited: `seq` is that of byte `from`, and the flags are
   * those of the whole, of which FIN and PSH go on the last packet and CWR on the first. `mss` is the
   * receiver's, from which options are subtracted (RFC 6691 section 2). `segment` is used until `finish`.
   *
   * False, with nothing prepared, when the tuple is of the other family or the range is not in the payload.
   */
  begin(frame: FrameView, segment: TcpSegment, tuple: Tuple, from: number, to: number, mss: number): boolean {
    this.finish();
    const payloadLength = frame.end - frame.payloadStart;
    if (!isFamilyOf(tuple, frame.ipVersion) || from < 0 || from > to || to > payloadLength) return false;
    this.#bytes = frame.bytes;
    this.#ipVersion = frame.ipVersion;
    this.#headerLength = frame.payloadStart - frame.l3;
    this.#l4 = frame.l4 - frame.l3;
    this.#payloadStart = frame.payloadStart;
    this.#segment = segment;
    this.#from = from;
    this.#at = from;
    this.#to = to;
    this.#count = 0;
    this.#isLast = false;

    const fixed = (frame.ipVersion === 4 ? IPV4.minHeader : IPV6.header) + TCP.minHeader;
    const options = this.#headerLength - fixed;
    this.#chunk = Math.max(MIN_CHUNK, mss - options);

    copyBytes(frame.bytes, frame.l3, this.#headers, 0, this.#headerLength);
    writeAddresses(this.#headers, 0, frame.ipVersion, tuple);
    writeI32(this.#headers, this.#l4 + TCP.sourcePort, tuple.words[8] | 0);
    writeSegment(this.#headers, this.#l4, segment);
    writeU16(this.#headers, this.#l4 + TCP.checksum, 0);
    return true;
  }

  /** Makes the next packet; false when there are no more, and then the frame is as it was. */
  next(): boolean {
    this.#uncover();
    if (this.#isLast || !this.#segment) return false;
    const length = Math.min(this.#chunk, this.#to - this.#at);
    this.#isLast = this.#at + length === this.#to;
    this.start = this.#payloadStart + this.#at - this.#headerLength;
    this.end = this.start + this.#headerLength + length;
    copyBytes(this.#bytes, this.start, this.#covered, 0, this.#headerLength);
    copyBytes(this.#headers, 0, this.#bytes, this.start, this.#headerLength);
    this.#isCovering = true;
    this.#writeIp();
    this.#writeTcp(this.#segment);
    this.#at += length;
    this.#count += 1;
    return true;
  }

  /** Puts the frame back and forgets it. Needed only to stop before `next` gave false. */
  finish(): void {
    this.#uncover();
    this.#segment = undefined;
    this.#bytes = this.#headers;
  }

  #uncover(): void {
    if (!this.#isCovering) return;
    copyBytes(this.#covered, 0, this.#bytes, this.start, this.#headerLength);
    this.#isCovering = false;
  }

  #writeIp(): void {
    if (this.#ipVersion === 6) {
      writeU16(this.#bytes, this.start + IPV6.payloadLength, this.end - this.start - IPV6.header);
      return;
    }
    // Incrementally, so that a header checksum that came wrong stays wrong.
    setIpv4Word(this.#bytes, this.start, IPV4.totalLength, this.end - this.start);
    setIpv4Word(this.#bytes, this.start, IPV4.id, readU16(this.#headers, IPV4.id) + this.#count);
  }

  #writeTcp(segment: TcpSegment): void {
    const bytes = this.#bytes;
    const l4 = this.start + this.#l4;
    const offset = this.#at - this.#from;
    writeI32(bytes, l4 + TCP.seq, seqAdd(segment.seq, offset) | 0);

    let flags = segment.flags;
    if (offset > 0) flags &= ~TcpFlag.Cwr;
    if (!this.#isLast) flags &= ~(TcpFlag.Fin | TcpFlag.Psh);
    // The urgent pointer counts from the packet's own sequence number (RFC 9293 section 3.8.5).
    const urgent = segment.urgent - offset;
    if (offset > 0 && segment.has(TcpFlag.Urg)) {
      writeU16(bytes, l4 + TCP.urgent, Math.max(0, urgent));
      if (urgent <= 0) flags &= ~TcpFlag.Urg;
    }
    bytes[l4 + TCP.flags] = flags;

    const length = this.end - l4;
    const pseudo = pseudoSum(bytes, this.start, this.#ipVersion, IpProto.Tcp, length);
    writeU16(bytes, l4 + TCP.checksum, finishChecksum(sumBytes(bytes, l4, this.end, pseudo)));
  }
}
