import t from 'tap';
import { addressWords, destinationOf, formatEndpoint, sourceOf, tupleOf } from '../../src/wire/endpoint.js';
import { FrameKind, FrameView } from '../../src/wire/frame.js';
import { parseIcmpv4Error, parseIcmpv6Error } from '../../src/wire/icmp.js';
import { IcmpErrorView, isIcmpChecksumValid, translateIcmpError } from '../../src/wire/icmp-error.js';
import { parseIpv4 } from '../../src/wire/ipv4.js';
import { parseIpv6 } from '../../src/wire/ipv6.js';
import { seqNum } from '../../src/wire/seq.js';
import { vector } from '../vectors/load.js';
import { naiveSum, other4, other6, tuple4, tuple6 } from './helpers.js';

function open(bytes: Uint8Array): { frame: FrameView; error: IcmpErrorView } {
  const frame = new FrameView();
  if (frame.parse(bytes, bytes.length) !== FrameKind.IcmpError) throw new Error('not an error');
  const error = new IcmpErrorView();
  error.read(frame);
  return { frame, error };
}

const EXPECTED = [
  ['icmpv4-unreachable', 3, 1, 0, 42, 62, '10.201.1.2:52178', '10.201.9.9:8080', 0xcaea9fd9],
  ['icmpv4-too-big', 3, 4, 1400, 42, 62, '10.201.1.2:40000', '10.201.2.2:8080', 0x01020304],
  ['icmpv6-unreachable', 1, 0, 0, 62, 102, '[fd00:201:1::2]:36362', '[fd00:201:9::9]:8080', 0xf4f3f59f],
  ['icmpv6-too-big', 2, 0, 1300, 62, 110, '[fd00:201:1::2]:40000', '[fd00:201:2::2]:8080', 0x01020304],
] as const;

for (const [name, type, code, mtu, quoted, quotedL4, from, to, seq] of EXPECTED) {
  t.test(name, async (t) => {
    const { frame, error } = open(vector(name));
    t.equal(error.hasTcp, true);
    t.strictSame([error.type, error.code, error.mtu], [type, code, mtu]);
    t.strictSame([error.quoted, error.quotedL4], [quoted, quotedL4]);
    t.equal(formatEndpoint(sourceOf(error.tuple)), from);
    t.equal(formatEndpoint(destinationOf(error.tuple)), to);
    t.equal(error.seq, seq);
    t.equal(isIcmpChecksumValid(frame), true);
    frame.bytes[frame.end - 1] ^= 1;
    t.equal(isIcmpChecksumValid(frame), false);
  });

  t.test(`${name}, translated`, async (t) => {
    const bytes = vector(name);
    const before = bytes.slice();
    const { frame, error } = open(bytes);
    const isIpv4 = frame.ipVersion === 4;
    const [outer, quote] = isIpv4 ? [other4, tuple4] : [other6, tuple6];
    t.equal(translateIcmpError(frame, error, outer, quote, seqNum(0xfedcba98)), true);
    t.equal(isIcmpChecksumValid(frame), true);
    const packet = bytes.subarray(14);
    const source = sourceOf(outer).address;
    const destination = destinationOf(outer).address;
    const parsed = isIpv4 ? parseIpv4(packet) : parseIpv6(packet);
    t.match(parsed, { source, destination });
    const payload = parsed?.payload ?? new Uint8Array(0);
    const repr = isIpv4 ? parseIcmpv4Error(payload) : parseIcmpv6Error(payload, source, destination);
    t.match(repr, { type, code }, 'with right checksums, by the plain form');
    if (isIpv4) t.equal(naiveSum(bytes.subarray(quoted, quoted + 20)), 0xffff, 'the quoted header checksum');

    const again = open(bytes).error;
    t.ok(again.tuple.equals(quote));
    t.equal(again.seq, 0xfedcba98);
    t.equal(again.mtu, mtu);
    t.strictSame(bytes.slice(quotedL4 + 8), before.slice(quotedL4 + 8), 'what is behind the 8 bytes stays');

    const back = isIpv4 ? outerOf4(before) : outerOf6(before);
    translateIcmpError(frame, again, back, error.tuple, error.seq);
    t.strictSame(bytes.length, before.length);
    t.ok(open(bytes).error.tuple.equals(error.tuple));
    t.strictSame(bytes, before, 'and back');
  });

  t.test(`${name}, a wrong checksum stays wrong`, async (t) => {
    const bytes = vector(name);
    const { frame, error } = open(bytes);
    bytes[frame.l4 + 2] ^= 1;
    const [outer, quote] = frame.ipVersion === 4 ? [other4, tuple4] : [other6, tuple6];
    translateIcmpError(frame, error, outer, quote, seqNum(1));
    t.equal(isIcmpChecksumValid(frame), false);
  });

  t.test(`${name}, quoted at every length`, async (t) => {
    const whole = vector(name);
    const least = quotedL4 + 8;
    for (let end = quoted; end <= whole.length; end++) {
      const bytes = whole.slice(0, end);
      const isIpv4 = bytes[14] >>> 4 === 4;
      const length = end - (isIpv4 ? 14 : 54);
      bytes[isIpv4 ? 16 : 18] = length >>> 8;
      bytes[isIpv4 ? 17 : 19] = length;
      const { error } = open(bytes);
      if (error.hasTcp !== end >= least) t.equal(error.hasTcp, end >= least, `${end} bytes`);
    }
    t.pass('all read');
  });
}

function outerOf4(before: Uint8Array) {
  const dotted = (at: number): string => [...before.subarray(at, at + 4)].join('.');
  return tupleOf({ address: dotted(26), port: 1 }, { address: dotted(30), port: 1 });
}

function outerOf6(before: Uint8Array) {
  const hex = (at: number): string =>
    [...before.subarray(at, at + 16)]
      .map((b, i) => (i % 2 ? '' : i ? ':' : '') + b.toString(16).padStart(2, '0'))
      .join('');
  if (!addressWords(hex(22))) throw new Error(hex(22));
  return tupleOf({ address: hex(22), port: 1 }, { address: hex(38), port: 1 });
}

t.test('a quoted packet that is not ours to translate', async (t) => {
  const cases: [string, string, Record<number, number>][] = [
    ['UDP', 'icmpv4-too-big', { 51: 17 }],
    ['the other family', 'icmpv4-too-big', { 42: 0x65 }],
    ['a header length that is impossible', 'icmpv4-too-big', { 42: 0x44 }],
    ['a header longer than the quotation', 'icmpv4-too-big', { 42: 0x4f }],
    ['a later fragment', 'icmpv4-too-big', { 49: 1 }],
    ['UDP over IPv6', 'icmpv6-unreachable', { 68: 17 }],
    ['IPv4 in IPv6', 'icmpv6-unreachable', { 62: 0x45 }],
    ['an extension header cut short', 'icmpv6-too-big', { 103: 40 }],
    ['ESP', 'icmpv6-too-big', { 102: 50 }],
  ];
  for (const [name, base, edits] of cases) {
    const bytes = vector(base);
    for (const [at, value] of Object.entries(edits)) bytes[Number(at)] = value;
    const before = bytes.slice();
    const { frame, error } = open(bytes);
    t.equal(error.hasTcp, false, name);
    const [outer, quote] = frame.ipVersion === 4 ? [other4, tuple4] : [other6, tuple6];
    t.equal(translateIcmpError(frame, error, outer, quote, seqNum(1)), false);
    t.strictSame(bytes, before);
  }
});

t.test('a first fragment is quoted with its ports', async (t) => {
  const bytes = vector('icmpv4-too-big');
  bytes[48] = 0x20;
  t.equal(open(bytes).error.hasTcp, true);
});

t.test('a tuple of the other family changes nothing', async (t) => {
  const bytes = vector('icmpv4-too-big');
  const before = bytes.slice();
  const { frame, error } = open(bytes);
  t.equal(translateIcmpError(frame, error, other6, tuple4, seqNum(1)), false);
  t.equal(translateIcmpError(frame, error, other4, tuple6, seqNum(1)), false);
  t.strictSame(bytes, before);
});

t.test('an MTU is read only where there is one', async (t) => {
  const bytes = vector('icmpv4-too-big');
  bytes[35] = 1;
  t.equal(open(bytes).error.mtu, 0);
  const six = vector('icmpv6-too-big');
  six[54] = 4;
  t.equal(open(six).error.mtu, 0);
});
