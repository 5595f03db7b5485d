import t from 'tap';
import { tcpPacket } from '../../src/wire/build.js';
import { ChecksumState, FrameKind, FrameView } from '../../src/wire/frame.js';
import { vector } from '../vectors/load.js';
import { frameOf, pattern, segmentWith, tuple4, tuple6 } from './helpers.js';

/** The kind of a vector after some of its bytes were overwritten. */
function edited(name: string, edits: Record<number, number>, length?: number): FrameKind {
  const bytes = vector(name);
  for (const [at, value] of Object.entries(edits)) bytes[Number(at)] = value;
  return new FrameView().parse(bytes, length ?? bytes.length);
}

t.test('impossible lengths are malformed', async (t) => {
  const cases: [string, string, Record<number, number>][] = [
    ['IPv4: version 5', 'ipv4-syn', { 14: 0x55 }],
    ['IPv4: version 6 behind the EtherType of IPv4', 'ipv4-syn', { 14: 0x65 }],
    ['IPv4: header of 16 bytes', 'ipv4-syn', { 14: 0x44 }],
    ['IPv4: header of 0 bytes', 'ipv4-syn', { 14: 0x40 }],
    ['IPv4: total length 0', 'ipv4-syn', { 16: 0, 17: 0 }],
    ['IPv4: total length less than its header', 'ipv4-syn', { 16: 0, 17: 19 }],
    ['IPv4: total length beyond the frame', 'ipv4-syn', { 17: 61 }],
    ['IPv4: total length ends in the TCP header', 'ipv4-syn', { 17: 59 }],
    ['IPv4: options leave no room for TCP', 'ipv4-syn', { 14: 0x4f }],
    ['TCP: data offset 4', 'ipv4-syn', { 46: 0x40 }],
    ['TCP: data offset 0', 'ipv4-syn', { 46: 0x00 }],
    ['TCP: data offset beyond the packet', 'ipv4-syn', { 46: 0xb0 }],
    ['ICMP: less than its header', 'icmpv4-unreachable', { 17: 27 }],
    ['IPv6: version 4', 'ipv6-syn', { 14: 0x40 }],
    ['IPv6: payload length beyond the frame', 'ipv6-syn', { 19: 41 }],
    ['IPv6: payload length ends in the TCP header', 'ipv6-syn', { 19: 39 }],
    ['IPv6: payload length 0 before TCP', 'ipv6-syn', { 19: 0 }],
    ['IPv6: an extension header longer than the packet', 'ipv6-extensions', { 55: 13 }],
    ['IPv6: hop-by-hop options behind another header', 'ipv6-extensions', { 54: 0 }],
    ['IPv6: a fragment header cut short', 'ipv6-fragment-first', { 19: 7 }],
  ];
  for (const [name, base, edits] of cases) t.equal(edited(base, edits), FrameKind.Malformed, name);
});

t.test('what is understood and not ours is other', async (t) => {
  const cases: [string, string, Record<number, number>][] = [
    ['an unknown EtherType', 'ipv4-syn', { 12: 0x12, 13: 0x34 }],
    ['an 802.3 length', 'ipv4-syn', { 12: 0x00, 13: 0x3c }],
    ['IPv4: UDP', 'ipv4-syn', { 23: 17 }],
    ['IPv4: ICMPv6 is not for it', 'ipv4-syn', { 23: 58 }],
    ['IPv4: an echo request', 'icmpv4-unreachable', { 34: 8 }],
    ['IPv4: a redirect', 'icmpv4-unreachable', { 34: 5 }],
    ['IPv6: UDP', 'ipv6-syn', { 20: 17 }],
    ['IPv6: ICMP is not for it', 'ipv6-syn', { 20: 1 }],
    ['IPv6: ESP', 'ipv6-syn', { 20: 50 }],
    ['IPv6: no next header', 'ipv6-syn', { 20: 59 }],
    ['IPv6: a neighbour solicitation', 'icmpv6-unreachable', { 54: 135 }],
    ['IPv6: an error of a type that is not known', 'icmpv6-unreachable', { 54: 5 }],
  ];
  for (const [name, base, edits] of cases) t.equal(edited(base, edits), FrameKind.Other, name);
});

t.test('every kind of ICMP error', async (t) => {
  for (const type of [3, 11, 12]) t.equal(edited('icmpv4-unreachable', { 34: type }), FrameKind.IcmpError);
  for (const type of [1, 2, 3, 4]) t.equal(edited('icmpv6-unreachable', { 54: type }), FrameKind.IcmpError);
});

t.test('fragments: MF alone, an offset alone, and an atomic one', async (t) => {
  t.equal(edited('ipv4-syn', { 20: 0x20, 21: 0 }), FrameKind.Fragment);
  t.equal(edited('ipv4-syn', { 20: 0x00, 21: 1 }), FrameKind.Fragment);
  t.equal(edited('ipv4-syn', { 20: 0x40, 21: 0 }), FrameKind.Tcp, 'DF is none');
  t.equal(edited('ipv4-syn', { 20: 0x80, 21: 0 }), FrameKind.Tcp, 'nor is the reserved bit');
  t.equal(edited('ipv6-fragment-first', { 57: 0 }), FrameKind.Fragment, 'RFC 6946');
});

t.test('a third tag is not looked behind', async (t) => {
  const inner = vector('qinq-ipv6');
  const bytes = new Uint8Array(inner.length + 4);
  bytes.set(inner.subarray(0, 12));
  bytes.set([0x88, 0xa8, 0, 1], 12);
  bytes.set(inner.subarray(12), 16);
  const frame = new FrameView();
  t.equal(frame.parse(bytes, bytes.length), FrameKind.Other);
  t.equal(frame.vlanTags, 2);
});

t.test('more extension headers than any sane packet has', async (t) => {
  const chain = (count: number): Uint8Array => {
    const tcp = tcpPacket(tuple6, segmentWith({})).subarray(40);
    const bytes = new Uint8Array(40 + 8 * count + tcp.length);
    bytes.set(tcpPacket(tuple6, segmentWith({})).subarray(0, 40));
    bytes[5] = bytes.length - 40;
    bytes[6] = 60;
    for (let i = 0; i < count; i++) bytes.set([i === count - 1 ? 6 : 60, 0, 1, 4, 0, 0, 0, 0], 40 + 8 * i);
    bytes.set(tcp, 40 + 8 * count);
    return bytes;
  };
  t.equal(frameOf(chain(8)).kind, FrameKind.Tcp);
  t.equal(frameOf(chain(9)).kind, FrameKind.Other);
});

t.test('a bare IP packet says its family itself', async (t) => {
  t.equal(frameOf(tcpPacket(tuple4, segmentWith({}))).ipVersion, 4);
  t.equal(frameOf(tcpPacket(tuple6, segmentWith({}))).ipVersion, 6);
  t.equal(frameOf(Uint8Array.of(0x75, 0, 0, 0)).kind, FrameKind.Malformed);
  t.equal(frameOf(new Uint8Array(0)).kind, FrameKind.Malformed);
});

t.test('nothing of an earlier frame is left', async (t) => {
  const frame = new FrameView();
  const first = vector('qinq-ipv6');
  frame.parse(first, first.length);
  frame.parse(vector('arp'), 42);
  t.strictSame(
    [frame.ipVersion, frame.vlanTags, frame.ttl, frame.headerLength, frame.payloadStart, frame.l4],
    [0, 0, 0, 0, 14, 14],
  );
  frame.parse(first, 3);
  t.strictSame([frame.kind, frame.ipVersion, frame.vlanTags], [FrameKind.Malformed, 0, 0]);
});

t.test('checksum states', async (t) => {
  for (const tuple of [tuple4, tuple6]) {
    const packet = tcpPacket(tuple, segmentWith({}), pattern(1448));
    const frame = frameOf(packet);
    t.equal(frame.checksumState(), ChecksumState.Valid);
    packet[packet.length - 1] ^= 1;
    t.equal(frame.checksumState(), ChecksumState.Bad, 'a bit of the payload');
    packet[packet.length - 1] ^= 1;
    packet[frame.l4 + 4] ^= 0x80;
    t.equal(frame.checksumState(), ChecksumState.Bad, 'a bit of the header');
    packet[frame.l4 + 4] ^= 0x80;
    packet[frame.l3 + 15] ^= 1;
    t.equal(frame.checksumState(), ChecksumState.Bad, 'a bit of the address');
    packet[frame.l3 + 15] ^= 1;
    t.equal(frame.checksumState(), ChecksumState.Valid);
  }
});

t.test('a partial checksum of a super-frame counts its whole length', async (t) => {
  for (const tuple of [tuple4, tuple6]) {
    const packet = tcpPacket(tuple, segmentWith({}), pattern(65000));
    const frame = frameOf(packet);
    let sum = 6 + (frame.end - frame.l4);
    for (const [i, word] of tuple.words.entries()) {
      if (i < 8 && (tuple === tuple6 || i % 4 === 3)) sum += (word >>> 16) + (word & 0xffff);
    }
    const folded = (sum & 0xffff) + (sum >>> 16);
    packet[frame.l4 + 16] = folded >>> 8;
    packet[frame.l4 + 17] = folded;
    t.equal(frame.checksumState(), ChecksumState.Partial);
    t.equal(frame.isPartial, true);
    packet[frame.l4 + 17] ^= 1;
    t.equal(frame.checksumState(), ChecksumState.Bad);
    t.equal(frame.isPartial, false);
  }
});
