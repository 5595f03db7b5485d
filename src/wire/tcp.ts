/**
 * TCP headers (RFC 9293 section 3.1): offsets, and a `TcpSegment` read from bytes and written back in place.
 *
 * Writing back changes only values: neither the header's size nor the place of an option, nor the checksum,
 * which `rewrite.ts` keeps. Options are walked one by one, since NOPs may stand anywhere between them.
 * Nothing here allocates or throws.
 */
import { readI32, readU16, writeI32, writeU16 } from './bytes.js';
import { MAX_SACK_BLOCKS, OptionBit, type TcpSegment } from './segment.js';
import { seqNum } from './seq.js';

export const TCP = {
  sourcePort: 0,
  destinationPort: 2,
  seq: 4,
  ack: 8,
  /** Header length in 32-bit words, in the upper four bits. */
  dataOffset: 12,
  flags: 13,
  window: 14,
  checksum: 16,
  urgent: 18,
  /** The shortest header; options follow. */
  minHeader: 20,
} as const;
export const TCP_MAX_HEADER = 60;
export const TCP_MAX_OPTIONS = TCP_MAX_HEADER - TCP.minHeader;

/** IANA "TCP Option Kind Numbers". */
export const OptionKind = {
  End: 0,
  Nop: 1,
  Mss: 2,
  WindowScale: 3,
  SackPermitted: 4,
  Sack: 5,
  Timestamps: 8,
  Md5: 19,
  Ao: 29,
  Mptcp: 30,
  FastOpen: 34,
} as const;

/** Lengths of the options whose values are read, and where their values stand. */
export const OPTION = {
  kind: 0,
  length: 1,
  value: 2,
  mssLength: 4,
  windowScaleLength: 3,
  sackPermittedLength: 2,
  timestampsLength: 10,
  tsecr: 6,
  sackBlock: 8,
} as const;

/** Options that hold one value each: a second one in the same header is not one of ours to understand. */
const SINGLE = OptionBit.Mss | OptionBit.WindowScale | OptionBit.Sack | OptionBit.Timestamps;

export const TcpParse = { Ok: 0, Malformed: 1 } as const;
export type TcpParse = (typeof TcpParse)[keyof typeof TcpParse];

/** Header length in bytes by the data offset field, unchecked. */
export function tcpHeaderLength(bytes: Uint8Array, l4: number): number {
  return (bytes[l4 + TCP.dataOffset] >>> 4) * 4;
}

/** True when a whole TCP header stands between `l4` and `end`. */
export function isTcpHeader(bytes: Uint8Array, l4: number, end: number): boolean {
  if (l4 + TCP.minHeader > end) return false;
  const header = tcpHeaderLength(bytes, l4);
  return header >= TCP.minHeader && l4 + header <= end;
}

/** Fills `segment` from the header at `l4` of a packet that ends at `end`. When malformed, it is left half filled. */
export function readSegment(bytes: Uint8Array, l4: number, end: number, segment: TcpSegment): TcpParse {
  if (!isTcpHeader(bytes, l4, end)) return TcpParse.Malformed;
  const payload = l4 + tcpHeaderLength(bytes, l4);
  segment.clear();
  segment.seq = seqNum(readI32(bytes, l4 + TCP.seq));
  segment.ack = seqNum(readI32(bytes, l4 + TCP.ack));
  segment.flags = bytes[l4 + TCP.flags];
  segment.window = readU16(bytes, l4 + TCP.window);
  segment.urgent = readU16(bytes, l4 + TCP.urgent);
  segment.payloadLength = end - payload;
  return readOptions(bytes, l4 + TCP.minHeader, payload, segment);
}

function readOptions(bytes: Uint8Array, start: number, end: number, segment: TcpSegment): TcpParse {
  let at = start;
  while (at < end) {
    const kind = bytes[at + OPTION.kind];
    if (kind === OptionKind.End) break;
    if (kind === OptionKind.Nop) {
      at += 1;
      continue;
    }
    const length = optionLength(bytes, at, end);
    if (length === 0) return TcpParse.Malformed;
    const bit = optionBit(kind, length);
    if ((bit & SINGLE & segment.options) !== 0) {
      segment.options |= OptionBit.Unknown;
    } else {
      segment.options |= bit;
      readOption(bytes, at, length, bit, segment);
    }
    at += length;
  }
  return TcpParse.Ok;
}

/** Length of the option at `at`, or 0 when it has none that is possible. */
function optionLength(bytes: Uint8Array, at: number, end: number): number {
  if (at + OPTION.value > end) return 0;
  const length = bytes[at + OPTION.length];
  return length < OPTION.value || at + length > end ? 0 : length;
}

/** The bit for an option. One of a known kind whose length its RFC does not allow is unknown. */
function optionBit(kind: number, length: number): number {
  switch (kind) {
    case OptionKind.Mss:
      return length === OPTION.mssLength ? OptionBit.Mss : OptionBit.Unknown;
    case OptionKind.WindowScale:
      return length === OPTION.windowScaleLength ? OptionBit.WindowScale : OptionBit.Unknown;
    case OptionKind.SackPermitted:
      return length === OPTION.sackPermittedLength ? OptionBit.SackPermitted : OptionBit.Unknown;
    case OptionKind.Sack:
      return isSackLength(length) ? OptionBit.Sack : OptionBit.Unknown;
    case OptionKind.Timestamps:
      return length === OPTION.timestampsLength ? OptionBit.Timestamps : OptionBit.Unknown;
    case OptionKind.Md5:
      return OptionBit.Md5;
    case OptionKind.Ao:
      return OptionBit.Ao;
    case OptionKind.Mptcp:
      return OptionBit.Mptcp;
    case OptionKind.FastOpen:
      return OptionBit.FastOpen;
    default:
      return OptionBit.Unknown;
  }
}

/** RFC 2018 section 3: one to four blocks. */
function isSackLength(length: number): boolean {
  const blocks = (length - OPTION.value) / OPTION.sackBlock;
  return Number.isInteger(blocks) && blocks >= 1 && blocks <= MAX_SACK_BLOCKS;
}

function readOption(bytes: Uint8Array, at: number, length: number, bit: number, segment: TcpSegment): void {
  const value = at + OPTION.value;
  if (bit === OptionBit.Timestamps) {
    segment.tsval = readI32(bytes, value) >>> 0;
    segment.tsecr = readI32(bytes, at + OPTION.tsecr) >>> 0;
  } else if (bit === OptionBit.Sack) {
    segment.sackCount = (length - OPTION.value) / OPTION.sackBlock;
    for (let i = 0; i < segment.sackCount; i++) {
      segment.sackLeft[i] = readI32(bytes, value + OPTION.sackBlock * i);
      segment.sackRight[i] = readI32(bytes, value + OPTION.sackBlock * i + 4);
    }
  } else if (bit === OptionBit.Mss) {
    segment.mss = readU16(bytes, value);
  } else if (bit === OptionBit.WindowScale) {
    segment.windowScale = bytes[value];
  }
}

/**
 * Writes `segment` over the header at `l4` that it was read from. An option whose bit is cleared becomes
 * NOPs; SACK blocks beyond `sackCount` become NOPs and the option shorter; options that the header does not
 * hold are not added. The checksum is left as it is.
 */
export function writeSegment(bytes: Uint8Array, l4: number, segment: TcpSegment): void {
  writeI32(bytes, l4 + TCP.seq, segment.seq | 0);
  writeI32(bytes, l4 + TCP.ack, segment.ack | 0);
  bytes[l4 + TCP.flags] = segment.flags;
  writeU16(bytes, l4 + TCP.window, segment.window);
  writeU16(bytes, l4 + TCP.urgent, segment.urgent);

  const end = l4 + tcpHeaderLength(bytes, l4);
  let seen = 0;
  let at = l4 + TCP.minHeader;
  while (at < end) {
    const kind = bytes[at + OPTION.kind];
    if (kind === OptionKind.End) return;
    if (kind === OptionKind.Nop) {
      at += 1;
      continue;
    }
    const length = optionLength(bytes, at, end);
    if (length === 0) return;
    const bit = optionBit(kind, length);
    const repeated = (bit & SINGLE & seen) !== 0;
    seen |= bit;
    const wanted = repeated ? bit | OptionBit.Unknown : bit;
    if ((segment.options & wanted) !== wanted) fillNops(bytes, at, at + length);
    else if (!repeated) writeOption(bytes, at, length, bit, segment);
    at += length;
  }
}

function writeOption(bytes: Uint8Array, at: number, length: number, bit: number, segment: TcpSegment): void {
  const value = at + OPTION.value;
  if (bit === OptionBit.Timestamps) {
    writeI32(bytes, value, segment.tsval | 0);
    writeI32(bytes, at + OPTION.tsecr, segment.tsecr | 0);
  } else if (bit === OptionBit.Sack) {
    const held = (length - OPTION.value) / OPTION.sackBlock;
    const kept = Math.min(segment.sackCount, held);
    if (kept < held) {
      const from = kept === 0 ? at : value + OPTION.sackBlock * kept;
      bytes[at + OPTION.length] = OPTION.value + OPTION.sackBlock * kept;
      fillNops(bytes, from, at + length);
    }
    writeSackBlocks(bytes, value, segment, kept);
  } else if (bit === OptionBit.Mss) {
    writeU16(bytes, value, segment.mss);
  } else if (bit === OptionBit.WindowScale) {
    bytes[value] = segment.windowScale;
  }
}

/** Writes the first `count` blocks of `segment`. */
export function writeSackBlocks(bytes: Uint8Array, at: number, segment: TcpSegment, count: number): void {
  for (let i = 0; i < count; i++) {
    writeI32(bytes, at + OPTION.sackBlock * i, segment.sackLeft[i] | 0);
    writeI32(bytes, at + OPTION.sackBlock * i + 4, segment.sackRight[i] | 0);
  }
}

function fillNops(bytes: Uint8Array, start: number, end: number): void {
  for (let at = start; at < end; at++) bytes[at] = OptionKind.Nop;
}
