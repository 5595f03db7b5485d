import t from 'tap';
import { destinationOf, formatEndpoint, sourceOf } from '../../src/wire/endpoint.js';
import { ChecksumState, FrameKind, FrameView } from '../../src/wire/frame.js';
import { Tuple } from '../../src/wire/tuple.js';
import { vector, vectorNames } from '../vectors/load.js';

const { Tcp, Fragment, IcmpError, Other, Malformed } = FrameKind;
const { Valid, Partial } = ChecksumState;
const E4 = '10.201.1.2';
const E6 = 'fd00:201:1::2';
const A4 = '10.201.2.2:8080';
const A6 = '[fd00:201:2::2]:8080';

interface Expected {
  readonly kind: FrameKind;
  readonly at: readonly [l3: number, l4: number, end: number];
  readonly ttl?: number;
  readonly protocol?: number;
  readonly tags?: number;
  /** TCP only. */
  readonly header?: number;
  readonly from?: string;
  readonly to?: string;
  readonly checksum?: ChecksumState;
}

const EXPECTED: Record<string, Expected> = {
  'ipv4-syn': { kind: Tcp, at: [14, 34, 74], header: 40, from: `${E4}:46508`, to: A4, checksum: Valid },
  'ipv4-synack': {
    kind: Tcp,
    at: [14, 34, 74],
    ttl: 63,
    header: 40,
    from: A4,
    to: `${E4}:46508`,
    checksum: Valid,
  },
  'ipv4-data': {
    kind: Tcp,
    at: [14, 34, 74],
    ttl: 63,
    header: 32,
    from: A4,
    to: `${E4}:46508`,
    checksum: Valid,
  },
  'ipv4-syn-partial': {
    kind: Tcp,
    at: [14, 34, 74],
    header: 40,
    from: `${E4}:32994`,
    to: A4,
    checksum: Partial,
  },
  'ipv4-data-partial': {
    kind: Tcp,
    at: [14, 34, 77],
    ttl: 63,
    header: 32,
    from: A4,
    to: `${E4}:32994`,
    checksum: Partial,
  },
  'ipv4-padded': { kind: Tcp, at: [14, 34, 54], header: 20, from: `${E4}:40000`, to: A4, checksum: Valid },
  'ipv4-options': { kind: Tcp, at: [14, 38, 58], header: 20, from: `${E4}:40000`, to: A4, checksum: Valid },
  'sack-odd': { kind: Tcp, at: [14, 34, 74], header: 40, from: `${E4}:40000`, to: A4, checksum: Valid },
  'sack-full': { kind: Tcp, at: [14, 34, 94], header: 60, from: `${E4}:40000`, to: A4, checksum: Valid },
  'syn-options': { kind: Tcp, at: [14, 34, 78], header: 44, from: `${E4}:40000`, to: A4, checksum: Valid },
  'syn-md5': { kind: Tcp, at: [14, 34, 82], header: 48, from: `${E4}:40000`, to: A4, checksum: Valid },
  'vlan-ipv4': {
    kind: Tcp,
    at: [18, 38, 78],
    ttl: 63,
    tags: 1,
    header: 32,
    from: A4,
    to: `${E4}:46508`,
    checksum: Valid,
  },
  'qinq-ipv6': {
    kind: Tcp,
    at: [22, 62, 102],
    ttl: 63,
    tags: 2,
    header: 32,
    from: A6,
    to: `[${E6}]:37826`,
    checksum: Valid,
  },
  'ipv6-syn': { kind: Tcp, at: [14, 54, 94], header: 40, from: `[${E6}]:37826`, to: A6, checksum: Valid },
  'ipv6-data': {
    kind: Tcp,
    at: [14, 54, 94],
    ttl: 63,
    header: 32,
    from: A6,
    to: `[${E6}]:37826`,
    checksum: Valid,
  },
  'ipv6-data-partial': {
    kind: Tcp,
    at: [14, 54, 97],
    ttl: 63,
    header: 32,
    from: A6,
    to: `[${E6}]:43794`,
    checksum: Partial,
  },
  'ipv6-extensions': {
    kind: Tcp,
    at: [14, 118, 155],
    header: 32,
    from: `[${E6}]:40000`,
    to: A6,
    checksum: Valid,
  },
  'ipv4-fragment-first': { kind: Fragment, at: [14, 34, 58], from: `${E4}:0`, to: '10.201.2.2:0' },
  'ipv4-fragment-last': { kind: Fragment, at: [14, 34, 42], from: `${E4}:0`, to: '10.201.2.2:0' },
  'ipv6-fragment-first': { kind: Fragment, at: [14, 62, 102], from: `[${E6}]:0`, to: '[fd00:201:2::2]:0' },
  'icmpv4-unreachable': {
    kind: IcmpError,
    at: [14, 34, 102],
    protocol: 1,
    from: '10.201.1.1:0',
    to: `${E4}:0`,
  },
  'icmpv4-too-big': { kind: IcmpError, at: [14, 34, 70], protocol: 1, from: '10.201.2.1:0', to: `${E4}:0` },
  'icmpv6-unreachable': {
    kind: IcmpError,
    at: [14, 54, 142],
    protocol: 58,
    from: '[fd00:201:1::1]:0',
    to: `[${E6}]:0`,
  },
  'icmpv6-too-big': {
    kind: IcmpError,
    at: [14, 54, 147],
    protocol: 58,
    from: '[fd00:201:2::1]:0',
    to: `[${E6}]:0`,
  },
  arp: { kind: Other, at: [14, 14, 14], ttl: 0, protocol: 59 },
  'ipv6-ah': { kind: Other, at: [14, 54, 115], protocol: 51 },
  'ipv6-mapped': { kind: Other, at: [14, 54, 74] },
  'ipv6-jumbogram': { kind: Other, at: [14, 14, 14], ttl: 0, protocol: 59 },
  'ipv6-routing-left': { kind: Other, at: [14, 54, 115], protocol: 43 },
};

t.strictSame(
  Object.keys(EXPECTED).sort(),
  [...vectorNames].sort(),
  'every vector is expected to be something',
);

for (const [name, expected] of Object.entries(EXPECTED)) {
  t.test(name, async (t) => {
    const bytes = vector(name);
    const frame = new FrameView();
    t.equal(frame.parse(bytes, bytes.length), expected.kind, 'kind');
    t.equal(frame.kind, expected.kind);
    t.strictSame([frame.l3, frame.l4, frame.end], expected.at, 'offsets');
    t.equal(frame.ttl, expected.ttl ?? 64, 'ttl');
    t.equal(frame.protocol, expected.protocol ?? 6, 'protocol');
    t.equal(frame.vlanTags, expected.tags ?? 0, 'tags');
    t.equal(frame.headerLength, expected.header ?? 0, 'TCP header');
    if (expected.kind === Tcp) t.equal(frame.payloadStart, frame.l4 + frame.headerLength);
    if (expected.checksum !== undefined) t.equal(frame.checksumState(), expected.checksum, 'checksum');
    if (expected.from === undefined) return;
    const tuple = new Tuple();
    frame.readTuple(tuple);
    t.equal(formatEndpoint(sourceOf(tuple)), expected.from);
    t.equal(formatEndpoint(destinationOf(tuple)), expected.to);
  });

  t.test(`${name}, cut at every byte and somewhere else in a buffer`, async (t) => {
    const whole = vector(name);
    const frame = new FrameView();
    const store = new Uint8Array(whole.length + 40).fill(0x45);
    store.set(whole, 20);
    t.equal(frame.parse(store, 20 + whole.length, 20), expected.kind);
    t.equal(frame.l4, expected.at[1] + 20);
    t.equal(frame.vlanTags, expected.tags ?? 0);
    // ARP and the jumbogram are known for what they are before their own end.
    const needed = name === 'arp' ? 14 : name === 'ipv6-jumbogram' ? 54 : expected.at[2];
    for (let length = 0; length < needed; length++) {
      const kind = frame.parse(store, 20 + length, 20);
      if (kind !== Malformed) t.equal(kind, Malformed, `${length} of ${whole.length} bytes`);
    }
    t.equal(frame.parse(store, 20 + needed, 20), expected.kind, 'nothing behind its end is needed');
  });
}
