/** UDP headers (RFC 768), for datagrams that are read together with their IP header. */
import { readU16 } from './bytes.js';
import type { FrameView } from './frame.js';
import { readAddresses } from './ip.js';
import { Tuple } from './tuple.js';
import { IpProto } from './types.js';

const UDP = { sourcePort: 0, destinationPort: 2, length: 4, header: 8 } as const;

export interface Datagram {
  /** Addresses and ports. */
  readonly tuple: Tuple;
  /** TTL or hop limit that it came in with. */
  readonly ttl: number;
  /** A copy. */
  readonly payload: Uint8Array;
}

/** The datagram in a parsed frame, or undefined when it holds none whose lengths are possible. Allocates. */
export function readDatagram(frame: FrameView): Datagram | undefined {
  const { bytes, l4, end } = frame;
  if (frame.protocol !== IpProto.Udp || l4 + UDP.header > end) return undefined;
  const length = readU16(bytes, l4 + UDP.length);
  if (length < UDP.header || l4 + length > end) return undefined;
  const tuple = new Tuple();
  readAddresses(bytes, frame.l3, frame.ipVersion, tuple);
  tuple.setPorts(readU16(bytes, l4 + UDP.sourcePort), readU16(bytes, l4 + UDP.destinationPort));
  return { tuple, ttl: frame.ttl, payload: bytes.slice(l4 + UDP.header, l4 + length) };
}
