/**
 * A second decoder, written from the RFCs without looking at `src/wire`: slow, with DataView and objects,
 * each rule once more in other words. The fuzz tests compare the two.
 */

export type TwinKind = 'tcp' | 'fragment' | 'icmp-error' | 'other' | 'malformed';

export interface TwinPacket {
  kind: TwinKind;
  version?: number;
  transport?: number;
  end?: number;
  ttl?: number;
  source?: string;
  destination?: string;
}

export interface TwinSegment {
  ports: [number, number];
  seq: number;
  ack: number;
  flags: number;
  window: number;
  urgent: number;
  payload: number;
  /** Names and values, or undefined when the options are malformed. */
  options: Map<string, number[]> | undefined;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** What an Ethernet frame is. */
export function twinFrame(frame: Uint8Array): TwinPacket {
  let rest = frame.slice(12);
  for (let tags = 0; ; tags++) {
    if (frame.length < 14 || rest.length < 2) return { kind: 'malformed' };
    const type = hex(rest.slice(0, 2));
    if ((type === '8100' || type === '88a8') && tags < 2) {
      rest = rest.slice(4);
      continue;
    }
    if (type !== '0800' && type !== '86dd') return { kind: 'other' };
    const version = type === '0800' ? 4 : 6;
    const packet = rest.slice(2);
    if (packet.length === 0 || packet[0] >> 4 !== version) return { kind: 'malformed' };
    return version === 4 ? twinIpv4(packet) : twinIpv6(packet);
  }
}

function twinIpv4(packet: Uint8Array): TwinPacket {
  if (packet.length < 20) return { kind: 'malformed' };
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const words = packet[0] % 16;
  const end = view.getUint16(2);
  if (words < 5 || end > packet.length || words * 4 > end) return { kind: 'malformed' };
  const known = {
    version: 4,
    transport: words * 4,
    end,
    ttl: packet[8],
    source: hex(packet.slice(12, 16)),
    destination: hex(packet.slice(16, 20)),
  };
  const fragment = view.getUint16(6) % 0x4000;
  if (fragment > 0) return { ...known, kind: 'fragment' };
  return { ...known, kind: twinTransport(packet.slice(words * 4, end), packet[9], 1, [3, 11, 12]) };
}

function twinIpv6(packet: Uint8Array): TwinPacket {
  if (packet.length < 40) return { kind: 'malformed' };
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const end = 40 + view.getUint16(4);
  if (end === 40 && packet[6] === 0) return { kind: 'other' };
  if (end > packet.length) return { kind: 'malformed' };
  const source = hex(packet.slice(8, 24));
  const destination = hex(packet.slice(24, 40));
  const known = { version: 6, end, ttl: packet[7], source, destination };
  let at = 40;
  let type = packet[6];
  let headers = 0;
  let kind: TwinKind | undefined;
  while (kind === undefined && [0, 43, 44, 60].includes(type)) {
    if (headers === 8) kind = 'other';
    else if (end - at < 8 || (type === 0 && headers > 0)) kind = 'malformed';
    else if (type === 44) {
      kind = 'fragment';
      at += 8;
    } else {
      const size = 8 * packet[at + 1] + 8;
      if (at + size > end) kind = 'malformed';
      else if (type === 43 && packet[at + 3] > 0) kind = 'other';
      else {
        type = packet[at];
        at += size;
        headers += 1;
      }
    }
  }
  const mapped = /^0{20}ffff/;
  const result = { ...known, transport: at };
  if (kind === 'malformed' || kind === 'other') return { ...result, kind };
  if (mapped.test(source) || mapped.test(destination)) return { ...result, kind: 'other' };
  if (kind === 'fragment') return { ...result, kind };
  return { ...result, kind: twinTransport(packet.slice(at, end), type, 58, [1, 2, 3, 4]) };
}

function twinTransport(bytes: Uint8Array, protocol: number, icmp: number, errors: number[]): TwinKind {
  if (protocol === 6) {
    const header = bytes.length < 20 ? 0 : (bytes[12] >> 4) * 4;
    return header >= 20 && header <= bytes.length ? 'tcp' : 'malformed';
  }
  if (protocol !== icmp) return 'other';
  if (bytes.length < 8) return 'malformed';
  return errors.includes(bytes[0]) ? 'icmp-error' : 'other';
}

const FIXED: Record<number, [name: string, length: number]> = {
  2: ['mss', 4],
  3: ['wscale', 3],
  4: ['sackPermitted', 2],
  8: ['timestamps', 10],
};
const ANY: Record<number, string> = { 19: 'md5', 29: 'ao', 30: 'mptcp', 34: 'fastOpen' };

/** A TCP header with its payload, whose data offset is possible. */
export function twinSegment(bytes: Uint8Array): TwinSegment {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const header = (bytes[12] >> 4) * 4;
  return {
    ports: [view.getUint16(0), view.getUint16(2)],
    seq: view.getUint32(4),
    ack: view.getUint32(8),
    flags: bytes[13],
    window: view.getUint16(14),
    urgent: view.getUint16(18),
    payload: bytes.length - header,
    options: twinOptions([...bytes.slice(20, header)]),
  };
}

function twinOptions(rest: number[]): Map<string, number[]> | undefined {
  const found = new Map<string, number[]>();
  while (rest.length > 0 && rest[0] !== 0) {
    const [kind, length] = rest;
    if (kind === 1) {
      rest.shift();
      continue;
    }
    if (length === undefined || length < 2 || length > rest.length) return undefined;
    const body = Uint8Array.from(rest.splice(0, length).slice(2));
    const name = nameOf(kind, length);
    const single = name === 'mss' || name === 'wscale' || name === 'sack' || name === 'timestamps';
    if (single && found.has(name)) found.set('unknown', []);
    else found.set(name, single ? valuesOf(name, body) : []);
  }
  return found;
}

function nameOf(kind: number, length: number): string {
  if (FIXED[kind]?.[1] === length) return FIXED[kind][0];
  if (kind === 5 && [10, 18, 26, 34].includes(length)) return 'sack';
  return ANY[kind] ?? 'unknown';
}

function valuesOf(name: string, body: Uint8Array): number[] {
  const view = new DataView(body.buffer);
  if (name === 'wscale') return [body[0]];
  if (name === 'mss') return [view.getUint16(0)];
  return Array.from({ length: body.length / 4 }, (_, i) => view.getUint32(4 * i));
}
