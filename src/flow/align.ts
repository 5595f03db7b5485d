/**
 * Alignment: the options of SYNs are edited while they pass, so that the two connections of a flow agree and
 * the stitched packets need little more than constants. An option is taken out by clearing its bit; the
 * bytes become NOPs when the segment is written back, so that no SYN changes its size.
 */
import { OptionBit, TcpFlag, type TcpSegment } from '../wire/segment.js';
import type { Connection } from './connection.js';
import type { RefusalReason } from './state.js';

/**
 * Never let through in a SYN: data in a Fast Open SYN is outside the handshake that the deltas are taken
 * from (RFC 7413), MPTCP spreads one stream over several connections (it falls back to plain TCP, RFC 8684
 * section 3.7), and what an unknown option means for a rewritten segment nobody can say.
 */
const STRIPPED = OptionBit.FastOpen | OptionBit.Mptcp | OptionBit.Unknown;

/** Edits a SYN or SYN-ACK of the outer connection, which comes first. Returns true when something changed. */
export function alignFirst(segment: TcpSegment): boolean {
  const before = segment.options;
  segment.options &= ~STRIPPED;
  return segment.options !== before;
}

/**
 * Edits the SYN of the inner connection to what the outer one negotiated. Its MSS is limited to the peer's:
 * the core's segments will reach the peer as they are.
 */
export function alignSecond(segment: TcpSegment, outer: Connection): boolean {
  const { options, flags, mss } = segment;
  segment.options &= ~STRIPPED;
  if (!outer.timestamps) segment.options &= ~OptionBit.Timestamps;
  if (!outer.sack) segment.options &= ~OptionBit.SackPermitted;
  if (!outer.ecn) segment.flags &= ~(TcpFlag.Ece | TcpFlag.Cwr);
  if (segment.hasOption(OptionBit.Mss)) segment.mss = Math.min(segment.mss, outer.far.mss);
  return segment.options !== options || segment.flags !== flags || segment.mss !== mss;
}

/** Why two connections, both past their handshakes, can't be stitched; undefined when they can. */
export function refusalOf(outer: Connection, inner: Connection): RefusalReason | undefined {
  const seen = outer.far.synOptions | outer.shell.synOptions | inner.far.synOptions | inner.shell.synOptions;
  if (seen & OptionBit.Md5) return 'tcp-md5';
  if (seen & OptionBit.Ao) return 'tcp-ao';
  if (outer.timestamps !== inner.timestamps) return 'timestamps-differ';
  if (outer.ecn !== inner.ecn) return 'ecn-differs';
  return undefined;
}
