/**
 * TCP headers made from scratch, and the plain form of a whole segment with its ports and payload.
 *
 * Options stand aligned to 32 bits behind NOPs, as most stacks write them: MSS, SACK permitted, window
 * scale, timestamps, SACK.
 */
import { copyOf, readU16, writeI32, writeU16 } from './bytes.js';
import { OptionBit, TcpSegment } from './segment.js';
import {
  OPTION,
  OptionKind,
  readSegment,
  TCP,
  TCP_MAX_HEADER,
  TCP_MAX_OPTIONS,
  TcpParse,
  tcpHeaderLength,
  writeSackBlocks,
} from './tcp.js';

/** Two NOPs, as the upper half of a word whose lower half is kind and length. */
const TWO_NOPS = (OptionKind.Nop << 24) | (OptionKind.Nop << 16);
const NOP = OptionKind.Nop << 24;

/**
 * Writes a header for `segment` at `l4` with checksum 0 and returns its length, at most 60. Allocates
 * nothing. MSS, window scale, SACK permitted, timestamps and SACK are written when their bits are set, and
 * of the SACK blocks as many as there is room for: three beside timestamps (RFC 2018 section 3).
 */
export function writeTcpHeader(
  out: Uint8Array,
  l4: number,
  segment: TcpSegment,
  sourcePort: number,
  destinationPort: number,
): number {
  writeU16(out, l4 + TCP.sourcePort, sourcePort);
  writeU16(out, l4 + TCP.destinationPort, destinationPort);
  writeI32(out, l4 + TCP.seq, segment.seq | 0);
  writeI32(out, l4 + TCP.ack, segment.ack | 0);
  out[l4 + TCP.flags] = segment.flags;
  writeU16(out, l4 + TCP.window, segment.window);
  writeU16(out, l4 + TCP.checksum, 0);
  writeU16(out, l4 + TCP.urgent, segment.urgent);
  const end = writeOptions(out, l4 + TCP.minHeader, segment);
  setDataOffset(out, l4, end - l4);
  return end - l4;
}

function setDataOffset(out: Uint8Array, l4: number, length: number): void {
  out[l4 + TCP.dataOffset] = (length / 4) << 4;
}

function writeOptions(out: Uint8Array, start: number, segment: TcpSegment): number {
  let at = start;
  if (segment.hasOption(OptionBit.Mss)) {
    writeI32(out, at, (OptionKind.Mss << 24) | (OPTION.mssLength << 16) | segment.mss);
    at += 4;
  }
  if (segment.hasOption(OptionBit.SackPermitted)) {
    writeI32(out, at, TWO_NOPS | (OptionKind.SackPermitted << 8) | OPTION.sackPermittedLength);
    at += 4;
  }
  if (segment.hasOption(OptionBit.WindowScale)) {
    writeI32(out, at, NOP | (OptionKind.WindowScale << 16) | (OPTION.windowScaleLength << 8));
    out[at + 3] = segment.windowScale;
    at += 4;
  }
  if (segment.hasOption(OptionBit.Timestamps)) {
    writeI32(out, at, TWO_NOPS | (OptionKind.Timestamps << 8) | OPTION.timestampsLength);
    writeI32(out, at + 4, segment.tsval | 0);
    writeI32(out, at + 8, segment.tsecr | 0);
    at += 12;
  }
  if (segment.hasOption(OptionBit.Sack)) {
    // At least one fits, whatever the options before it.
    const room = (start + TCP_MAX_OPTIONS - at - 4) / OPTION.sackBlock;
    const count = Math.min(segment.sackCount, Math.floor(room));
    if (count > 0) {
      const length = OPTION.value + OPTION.sackBlock * count;
      writeI32(out, at, TWO_NOPS | (OptionKind.Sack << 8) | length);
      writeSackBlocks(out, at + 4, segment, count);
      at += 4 + OPTION.sackBlock * count;
    }
  }
  return at;
}

/** Options that a `TcpSegment` only knows to be there: written with an empty body of the shortest length. */
const BODILESS = [
  [OptionBit.FastOpen, OptionKind.FastOpen, 2],
  [OptionBit.Mptcp, OptionKind.Mptcp, 4],
  [OptionBit.Md5, OptionKind.Md5, 18],
  [OptionBit.Ao, OptionKind.Ao, 4],
  /** 253: RFC 3692-style experiment. */
  [OptionBit.Unknown, 253, 4],
] as const;

export interface TcpRepr {
  readonly segment: TcpSegment;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Uint8Array;
}

/** Undefined when the header or an option is malformed. The checksum is not looked at. */
export function parseTcp(bytes: Uint8Array): TcpRepr | undefined {
  const segment = new TcpSegment();
  if (readSegment(bytes, 0, bytes.length, segment) !== TcpParse.Ok) return undefined;
  return {
    segment,
    sourcePort: readU16(bytes, TCP.sourcePort),
    destinationPort: readU16(bytes, TCP.destinationPort),
    payload: copyOf(bytes, tcpHeaderLength(bytes, 0)),
  };
}

/**
 * Header and payload with checksum 0, since that covers addresses too. Every option bit is written.
 * `segment.payloadLength` is not used. Throws when the options do not fit.
 */
export function emitTcp(
  segment: TcpSegment,
  sourcePort: number,
  destinationPort: number,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const header = new Uint8Array(2 * TCP_MAX_HEADER);
  let length = writeTcpHeader(header, 0, segment, sourcePort, destinationPort);
  for (const [bit, kind, size] of BODILESS) {
    if (!segment.hasOption(bit)) continue;
    const start = length;
    length += Math.ceil(size / 4) * 4;
    header.fill(OptionKind.Nop, start, length - size);
    header[length - size] = kind;
    header[length - size + OPTION.length] = size;
  }
  if (length > TCP_MAX_HEADER) throw new RangeError(`${length - TCP.minHeader} bytes of options, 40 fit`);
  setDataOffset(header, 0, length);
  const out = new Uint8Array(length + payload.length);
  out.set(header.subarray(0, length));
  out.set(payload, length);
  return out;
}
