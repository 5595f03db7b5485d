import t from 'tap';
import { emitEthernet, macBytes, parseEthernet } from '../../src/wire/ethernet.js';
import { emitIcmpv4Error, emitIcmpv6Error, parseIcmpv4Error, parseIcmpv6Error } from '../../src/wire/icmp.js';
import { emitIpv4, parseIpv4 } from '../../src/wire/ipv4.js';
import { emitIpv6, parseIpv6 } from '../../src/wire/ipv6.js';
import { OptionBit } from '../../src/wire/segment.js';
import { emitTcp, parseTcp } from '../../src/wire/tcp-emit.js';
import { EtherType, IpProto } from '../../src/wire/types.js';
import { vector, vectorNames } from '../vectors/load.js';
import { segmentWith } from './helpers.js';

/** Fails the test where a value is missing. */
function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('not parsed');
  return value;
}

const isIpv4 = (name: string): boolean => known(parseEthernet(vector(name))).etherType === EtherType.Ipv4;
const isIpv6 = (name: string): boolean => known(parseEthernet(vector(name))).etherType === EtherType.Ipv6;

t.test('every vector through Ethernet and IP and back', async (t) => {
  for (const name of vectorNames) {
    const bytes = vector(name);
    const ethernet = known(parseEthernet(bytes));
    t.strictSame(emitEthernet(ethernet), bytes, name);
    if (name === 'ipv4-padded' || name === 'ipv6-jumbogram') continue;
    if (isIpv4(name)) t.strictSame(emitIpv4(known(parseIpv4(ethernet.payload))), ethernet.payload, name);
    if (isIpv6(name)) t.strictSame(emitIpv6(known(parseIpv6(ethernet.payload))), ethernet.payload, name);
  }
});

t.test('Ethernet', async (t) => {
  const frame = known(parseEthernet(vector('qinq-ipv6')));
  t.match(frame, {
    destination: '26:bc:e9:bb:32:03',
    source: '1a:86:e8:89:08:13',
    tags: [
      { tpid: EtherType.ServiceVlan, tci: 100 },
      { tpid: EtherType.Vlan, tci: 7 },
    ],
    etherType: EtherType.Ipv6,
  });
  for (const length of [0, 13, 14, 17, 18, 21]) {
    t.equal(parseEthernet(vector('qinq-ipv6').subarray(0, length)), undefined);
  }
  t.throws(() => macBytes('02:00:00:00:00'), TypeError);
});

t.test('IPv4', async (t) => {
  const payload = known(parseEthernet(vector('ipv4-fragment-last'))).payload;
  t.match(parseIpv4(payload), {
    source: '10.201.1.2',
    destination: '10.201.2.2',
    protocol: IpProto.Tcp,
    ttl: 64,
    tos: 0,
    id: 0x1234,
    dontFragment: false,
    moreFragments: false,
    fragmentOffset: 1480,
    payload: new TextEncoder().encode('abcdefgh'),
  });
  t.strictSame(
    known(parseIpv4(known(parseEthernet(vector('ipv4-options'))).payload)).options,
    Uint8Array.of(0x94, 4, 0, 0),
  );
  const broken = (at: number, value: number) => {
    const bytes = payload.slice();
    bytes[at] = value;
    return parseIpv4(bytes);
  };
  t.equal(broken(8, 65), undefined, 'a checksum that is wrong');
  t.equal(broken(0, 0x44), undefined);
  t.equal(broken(0, 0x65), undefined);
  t.equal(broken(3, 19), undefined);
  t.equal(broken(3, 29), undefined);
  t.equal(parseIpv4(payload.subarray(0, 19)), undefined);
  const repr = known(parseIpv4(payload));
  t.throws(() => emitIpv4({ ...repr, source: 'fd00::1' }), TypeError);
});

t.test('IPv6', async (t) => {
  const payload = known(parseEthernet(vector('ipv6-extensions'))).payload;
  const repr = known(parseIpv6(payload));
  t.match(repr, {
    source: 'fd00:201:1::2',
    destination: 'fd00:201:2::2',
    hopLimit: 64,
    nextHeader: IpProto.Tcp,
  });
  t.strictSame(
    repr.extensions.map((e) => [e.header, e.body.length]),
    [
      [IpProto.HopByHop, 6],
      [IpProto.Destination, 14],
      [IpProto.Routing, 22],
      [IpProto.Destination, 14],
    ],
  );
  t.equal(known(parseIpv6(known(parseEthernet(vector('ipv6-syn'))).payload)).flowLabel, 0x3bd04);
  t.equal(known(parseIpv6(known(parseEthernet(vector('ipv6-mapped'))).payload)).source, '::ffff:ac9:102');
  for (let length = 0; length < payload.length; length++) {
    if (parseIpv6(payload.subarray(0, length))) t.fail(`${length} bytes`);
  }
  const cut = payload.slice();
  cut[5] = 44;
  t.equal(parseIpv6(cut), undefined, 'an extension header that ends behind the packet');
  const fragment = {
    ...repr,
    extensions: [{ header: IpProto.Fragment, body: new Uint8Array(6) }],
    nextHeader: IpProto.Destination,
    payload: Uint8Array.of(1, 2, 3),
  };
  t.strictSame(parseIpv6(emitIpv6(fragment)), fragment, 'what a fragment carries is not looked into');
  t.throws(() => emitIpv6({ ...repr, destination: '10.0.0.1' }), TypeError);
});

t.test('ICMP', async (t) => {
  for (const name of ['icmpv4-unreachable', 'icmpv4-too-big']) {
    const { payload } = known(parseIpv4(known(parseEthernet(vector(name))).payload));
    const repr = known(parseIcmpv4Error(payload));
    t.strictSame(emitIcmpv4Error(repr), payload, name);
    payload[12] ^= 1;
    t.equal(parseIcmpv4Error(payload), undefined, 'a checksum that is wrong');
    t.equal(parseIcmpv4Error(payload.subarray(0, 7)), undefined);
    t.equal(parseIcmpv6Error(payload, '::1', '::1'), undefined, 'not an ICMPv6 one');
  }
  for (const name of ['icmpv6-unreachable', 'icmpv6-too-big']) {
    const { payload, source, destination } = known(parseIpv6(known(parseEthernet(vector(name))).payload));
    const repr = known(parseIcmpv6Error(payload, source, destination));
    t.strictSame(emitIcmpv6Error(repr, source, destination), payload, name);
    t.equal(parseIcmpv6Error(payload, source, 'fd00::1'), undefined, 'the addresses count');
    t.throws(() => emitIcmpv6Error(repr, source, 'nowhere'), TypeError);
  }
  const tooBig = known(parseIpv4(known(parseEthernet(vector('icmpv4-too-big'))).payload)).payload;
  t.match(parseIcmpv4Error(tooBig), { type: 3, code: 4, info: 1400 });
});

t.test('TCP', async (t) => {
  const payload = Uint8Array.of(1, 2, 3);
  const segment = segmentWith({
    options: OptionBit.Timestamps | OptionBit.Sack,
    tsval: 0xffffffff,
    tsecr: 1,
    sackCount: 1,
    payloadLength: 3,
  });
  segment.sackLeft[0] = 5;
  segment.sackRight[0] = 0xfffffff0;
  const bytes = emitTcp(segment, 40000, 8080, payload);
  t.equal(bytes.length, 20 + 12 + 12 + 3);
  t.strictSame(parseTcp(bytes), { segment, sourcePort: 40000, destinationPort: 8080, payload });
  t.equal(parseTcp(bytes.subarray(0, 43)), undefined);

  const everything = segmentWith({
    options: OptionBit.FastOpen | OptionBit.Mptcp | OptionBit.Ao | OptionBit.Unknown | OptionBit.Mss,
    mss: 1,
  });
  t.strictSame(known(parseTcp(emitTcp(everything, 1, 2))).segment, everything);
  t.equal(
    Buffer.from(emitTcp(everything, 1, 2).subarray(20)).toString('hex'),
    '02040001' + '01012202' + '1e040000' + '1d040000' + 'fd040000',
    'options without a body are as short as their RFCs allow',
  );
  const md5 = segmentWith({ options: OptionBit.Md5 });
  t.strictSame(known(parseTcp(emitTcp(md5, 1, 2))).segment, md5);
  t.throws(() => emitTcp(segmentWith({ options: OptionBit.Md5 | 0x1ff }), 1, 2), RangeError);
});
