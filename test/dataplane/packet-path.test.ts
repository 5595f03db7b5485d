import t from 'tap';
import { PacketPath } from '../../src/dataplane/userspace/packet-path.js';
import { SendResult } from '../../src/dataplane/userspace/sender.js';
import { FlowEngine } from '../../src/flow/engine.js';
import { tcpPacket } from '../../src/wire/build.js';
import { destinationOf, formatEndpoint, sourceOf, tupleOf } from '../../src/wire/endpoint.js';
import { ChecksumState, FrameKind, FrameView } from '../../src/wire/frame.js';
import { emitIcmpv4Error, emitIcmpv6Error } from '../../src/wire/icmp.js';
import { IcmpErrorView, isIcmpChecksumValid } from '../../src/wire/icmp-error.js';
import { emitIpv4 } from '../../src/wire/ipv4.js';
import { emitIpv6 } from '../../src/wire/ipv6.js';
import { OptionBit, TcpFlag, TcpSegment } from '../../src/wire/segment.js';
import { seqNum } from '../../src/wire/seq.js';
import { readSegment } from '../../src/wire/tcp.js';
import { Tuple } from '../../src/wire/tuple.js';
import { IpProto } from '../../src/wire/types.js';

// Frames in, IP packets out, without an interface: what leaves must be what a receiver accepts, byte for byte.

interface Sent {
  readonly from: string;
  readonly to: string;
  readonly segment: TcpSegment;
  readonly payload: Buffer;
  readonly ttl: number;
  readonly checksum: number;
}

class Bench {
  readonly sent: Sent[] = [];
  /** The same as bytes, since the flow was stitched. */
  readonly raw: Uint8Array[] = [];
  readonly engine = new FlowEngine();
  readonly path: PacketPath;
  now = 0;
  private readonly ends;

  constructor(
    isIpv6 = false,
    mtu = 1500,
    private readonly mss = 1000,
  ) {
    const address = (host: number): string => (isIpv6 ? `fd00:${host}::2` : `10.${host}.0.2`);
    const [e, a, a1, b] = [
      { address: address(1), port: 40000 },
      { address: address(2), port: 80 },
      { address: address(2), port: 20000 },
      { address: address(3), port: 80 },
    ] as const;
    this.ends = { e, a, a1, b };
    this.engine.own({ address: a.address, from: 80, to: 80 });
    this.engine.own({ address: a.address, from: 20000, to: 20000 });
    const take = (bytes: Uint8Array, start: number, end: number): SendResult => {
      const packet = bytes.slice(start, end);
      this.raw.push(packet);
      if (isTcp(packet)) this.sent.push(decode(packet));
      return SendResult.Sent;
    };
    this.path = new PacketPath(this.engine, { sendIpv4: take, sendIpv6: take }, mtu);
  }

  get tuples(): Record<'E' | 'AE' | 'AB' | 'B', Tuple> {
    const { e, a, a1, b } = this.ends;
    return { E: tupleOf(e, a), AE: tupleOf(a, e), AB: tupleOf(a1, b), B: tupleOf(b, a1) };
  }

  /** A frame as it is captured; `partial` leaves the checksum to the interface, as Linux does. */
  receive(
    from: 'E' | 'AE' | 'AB' | 'B',
    segment: TcpSegment,
    payload: Buffer = Buffer.alloc(0),
    partial = false,
    ttl = 64,
  ): void {
    segment.payloadLength = payload.length;
    const packet = tcpPacket(this.tuples[from], segment, payload, ttl);
    const frame = Buffer.concat([ethernet(packet), packet]);
    if (partial) leavePartial(frame);
    // The capture's buffer is larger than the frame, and what lies behind it is old.
    const buffer = Buffer.alloc(65536, 0xaa);
    frame.copy(buffer);
    this.path.receive(buffer, frame.length, false, this.now);
  }

  syn(from: 'E' | 'AE' | 'AB' | 'B', seq: number, ack?: number): void {
    const segment = tcp(seq, ack, TcpFlag.Syn);
    segment.options = OptionBit.Mss;
    segment.mss = this.mss;
    this.receive(from, segment);
  }

  stitch(): this {
    const { e, a, a1, b } = this.ends;
    this.syn('E', 100);
    this.syn('AE', 5000, 101);
    this.receive('E', tcp(101, 5001));
    this.engine.pair('f', { local: a, remote: e }, { local: a1, remote: b }, this.now);
    this.syn('AB', 9000);
    this.syn('B', 0xfffffff0, 9001);
    this.receive('AB', tcp(9001, 0xfffffff1));
    this.engine.enable(
      'f',
      { consumedFromPeer: 0, injectedToCore: 0, consumedFromCore: 0, injectedToPeer: 0 },
      this.now,
    );
    t.equal(this.engine.flow('f')?.state, 'stitched');
    this.sent.length = 0;
    this.raw.length = 0;
    return this;
  }
}

function tcp(seq: number, ack?: number, flags = 0): TcpSegment {
  const segment = new TcpSegment();
  segment.seq = seqNum(seq);
  segment.flags = flags;
  segment.window = 60000;
  if (ack !== undefined) {
    segment.flags |= TcpFlag.Ack;
    segment.ack = seqNum(ack);
  }
  return segment;
}

function ethernet(packet: Uint8Array): Buffer {
  const header = Buffer.alloc(14, 0x02);
  header.writeUInt16BE((packet[0] as number) >> 4 === 4 ? 0x0800 : 0x86dd, 12);
  return header;
}

function leavePartial(frame: Buffer): void {
  const view = new FrameView();
  view.parse(frame, frame.length);
  let sum = view.pseudoSum(view.end - view.l4);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  frame.writeUInt16BE(sum, view.l4 + 16);
}

/** A router's error about a packet that the shell seems to have sent to the core. */
function tooBig4(quoted: Uint8Array, mtu: number): Buffer {
  const packet = emitIpv4({
    source: '10.3.0.1',
    destination: '10.2.0.2',
    protocol: IpProto.Icmp,
    ttl: 60,
    tos: 0,
    id: 1,
    dontFragment: false,
    moreFragments: false,
    fragmentOffset: 0,
    options: new Uint8Array(0),
    payload: emitIcmpv4Error({ type: 3, code: 4, info: mtu, quoted }),
  });
  return Buffer.concat([ethernet(packet), packet]);
}

function tooBig6(quoted: Uint8Array, mtu: number): Buffer {
  const [source, destination] = ['fd00:3::1', 'fd00:2::2'];
  const packet = emitIpv6({
    source,
    destination,
    trafficClass: 0,
    flowLabel: 0,
    hopLimit: 60,
    extensions: [],
    nextHeader: IpProto.Icmpv6,
    payload: emitIcmpv6Error({ type: 2, code: 0, info: mtu, quoted }, source, destination),
  });
  return Buffer.concat([ethernet(packet), packet]);
}

function isTcp(packet: Uint8Array): boolean {
  return new FrameView().parseIp(packet, 0, packet.length) !== FrameKind.IcmpError;
}

function decode(packet: Uint8Array): Sent {
  const view = new FrameView();
  t.equal(view.parseIp(packet, 0, packet.length), FrameKind.Tcp);
  const tuple = new Tuple();
  view.readTuple(tuple);
  const segment = new TcpSegment();
  readSegment(packet, view.l4, view.end, segment);
  const payload = Buffer.from(packet.subarray(view.payloadStart, view.end));
  return {
    from: formatEndpoint(sourceOf(tuple)),
    to: formatEndpoint(destinationOf(tuple)),
    segment,
    payload,
    ttl: view.ttl,
    checksum: view.checksumState(),
  };
}

const bytes = (length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255));

for (const isIpv6 of [false, true]) {
  t.test(isIpv6 ? 'IPv6' : 'IPv4', async (t) => {
    t.test('relayed: sent on byte for byte, one hop older', async (t) => {
      const bench = new Bench(isIpv6);
      bench.syn('E', 100);
      t.equal(bench.sent.length, 1);
      t.match(bench.sent[0], { ttl: 63, checksum: ChecksumState.Valid });
      t.equal(bench.sent[0]?.segment.mss, 1000);
      bench.receive('E', tcp(101, 5001), bytes(300), true);
      t.same(bench.sent[1]?.payload, bytes(300));
      t.equal(bench.sent[1]?.checksum, ChecksumState.Valid, 'a checksum left to the interface is computed');
    });

    t.test('stitched: addresses, numbers and checksum of the other connection', async (t) => {
      const bench = new Bench(isIpv6).stitch();
      const host = (n: number): string => (isIpv6 ? `[fd00:${n}::2]` : `10.${n}.0.2`);
      for (const partial of [false, true]) {
        bench.sent.length = 0;
        bench.receive('E', tcp(101, 5001), bytes(701), partial);
        const [up] = bench.sent;
        t.match(up, {
          from: `${host(2)}:20000`,
          to: `${host(3)}:80`,
          ttl: 63,
          checksum: ChecksumState.Valid,
        });
        t.match(up?.segment, { seq: 9001, ack: 0xfffffff1 });
        t.same(up?.payload, bytes(701));
      }
      bench.sent.length = 0;
      bench.receive('B', tcp(0xfffffff1, 9702), bytes(33));
      t.match(bench.sent[0], {
        from: `${host(2)}:80`,
        to: `${host(1)}:40000`,
        checksum: ChecksumState.Valid,
      });
      t.match(bench.sent[0]?.segment, { seq: 5001, ack: 802 });
      t.equal(bench.sent.length, 1, 'and the shell hears nothing');
    });

    t.test('a super-frame becomes segments that the receiver takes', async (t) => {
      const bench = new Bench(isIpv6).stitch();
      const payload = bytes(64_000);
      bench.receive('E', tcp(101, 5001, TcpFlag.Fin | TcpFlag.Psh), payload, true);
      t.equal(bench.sent.length, 64);
      t.same(Buffer.concat(bench.sent.map((sent) => sent.payload)), payload);
      t.ok(bench.sent.every(({ segment }, i) => segment.seq === seqNum(9001 + 1000 * i)));
      t.ok(bench.sent.every(({ checksum }) => checksum === ChecksumState.Valid));
      t.same(
        bench.sent.map(({ segment }) => segment.has(TcpFlag.Fin)).lastIndexOf(false),
        62,
        'one FIN, on the last',
      );
      t.equal(bench.path.counters.split, 1);
    });

    t.test('nothing larger than the smallest interface takes', async (t) => {
      const bench = new Bench(isIpv6, 576).stitch();
      bench.receive('E', tcp(101, 5001), bytes(900));
      t.same(Buffer.concat(bench.sent.map((sent) => sent.payload)), bytes(900));
      t.ok(bench.sent.every(({ payload }) => payload.length + (isIpv6 ? 60 : 40) <= 576));
    });

    t.test('a damaged packet is dropped and counted, not mended', async (t) => {
      const bench = new Bench(isIpv6).stitch();
      const packet = tcpPacket(
        bench.tuples.E,
        Object.assign(tcp(101, 5001), { payloadLength: 50 }),
        bytes(50),
      );
      const frame = Buffer.concat([ethernet(packet), packet]);
      frame.writeUInt8((frame.readUInt8(frame.length - 3) ^ 0x10) & 255, frame.length - 3);
      bench.path.receive(frame, frame.length, false, 0);
      t.equal(bench.sent.length, 0);
      t.equal(bench.path.counters.badChecksum, 1);
      t.equal(bench.engine.flow('f')?.outer.far.bytes, 0, 'and the flow took no notice');
    });

    t.test('what the gate leaves to the host is left to it', async (t) => {
      const bench = new Bench(isIpv6).stitch();
      bench.receive('E', tcp(101, 5001), bytes(10), false, 1);
      t.equal(bench.sent.length, 0);
      t.equal(bench.path.counters.host, 1);
    });

    t.test('a frame of a VLAN is for another interface, one with a priority tag is not', async (t) => {
      const bench = new Bench(isIpv6).stitch();
      const packet = tcpPacket(bench.tuples.E, tcp(101, 5001), bytes(10), 64);
      const header = ethernet(packet);
      const receive = (...tcis: number[]): void => {
        const tags = tcis.map((tci) => Buffer.from([0x81, 0, tci >> 8, tci & 255]));
        const frame = Buffer.concat([header.subarray(0, 12), ...tags, header.subarray(12), packet]);
        bench.path.receive(frame, frame.length, false, 0);
      };
      for (const tcis of [[5], [0xe00a], [0, 5], [5, 0]]) receive(...tcis);
      t.equal(bench.sent.length, 0);
      t.equal(bench.path.counters.host, 4);
      receive(0xe000);
      receive(0, 0);
      t.equal(bench.sent.length, 2);
      t.strictSame(bench.sent[0]?.payload, bytes(10));
    });
  });
}

t.test('a segment across the cut goes whole to the core, and below the cut to the shell', async (t) => {
  const bench = new Bench();
  const { engine } = bench;
  bench.syn('E', 100);
  bench.syn('AE', 5000, 101);
  bench.receive('E', tcp(101, 5001));
  const [outer, inner] = [bench.tuples.AE, bench.tuples.AB].map((tuple) => ({
    local: sourceOf(tuple),
    remote: destinationOf(tuple),
  }));
  if (!outer || !inner) throw new Error('no endpoints');
  engine.pair('f', outer, inner, 0);
  bench.syn('AB', 9000);
  bench.syn('B', 20000, 9001);
  bench.receive('AB', tcp(9001, 20001));
  bench.receive('E', tcp(101, 5001), bytes(100));
  engine.enable('f', { consumedFromPeer: 0, injectedToCore: 0, consumedFromCore: 0, injectedToPeer: 0 }, 0);
  t.equal(engine.flow('f')?.state, 'cutting');
  bench.sent.length = 0;
  bench.receive('E', tcp(151, 5001, TcpFlag.Psh), bytes(120), true);
  t.equal(bench.sent.length, 2);
  const [core, shell] = [...bench.sent].sort((x) => (x.to === '10.3.0.2:80' ? -1 : 1));
  t.match(core, { to: '10.3.0.2:80', checksum: ChecksumState.Valid });
  t.same(core?.payload, bytes(120));
  t.equal(core?.segment.seq, 9051);
  t.match(shell, { to: '10.2.0.2:80', checksum: ChecksumState.Valid });
  t.same(shell?.payload, bytes(120).subarray(0, 50));
  t.equal(shell?.segment.seq, 151);
});

t.test(
  'an ICMP error about a translated packet goes to the end that sent it, as that end knows the packet',
  async (t) => {
    const bench = new Bench().stitch();
    // The peer's byte 101 left as the shell's 9001 on the inner connection; a router behind the switch can't pass it on.
    const quotedPacket = tcpPacket(
      bench.tuples.AB,
      Object.assign(tcp(9001, 5001), { payloadLength: 30 }),
      bytes(30),
    );
    const frame = tooBig4(quotedPacket, 1280);
    bench.path.receive(frame, frame.length, false, 0);
    t.equal(bench.raw.length, 1);
    const view = new FrameView();
    const sent = bench.raw[0] ?? new Uint8Array(0);
    t.equal(view.parseIp(sent, 0, sent.length), FrameKind.IcmpError);
    const error = new IcmpErrorView();
    t.ok(error.read(view) && isIcmpChecksumValid(view));
    const outer = new Tuple();
    view.readTuple(outer);
    t.match([sourceOf(outer).address, destinationOf(outer).address], ['10.3.0.1', '10.1.0.2']);
    t.equal(formatEndpoint(sourceOf(error.tuple)), '10.1.0.2:40000');
    t.equal(formatEndpoint(destinationOf(error.tuple)), '10.2.0.2:80');
    t.equal(error.seq, 101);
    t.equal(error.mtu, 1280);
  },
);

t.test('a super-frame is cut to what a router on its way takes', async (t) => {
  for (const family of [4, 6] as const) {
    const bench = new Bench(family === 6, 1500, 1400).stitch();
    const mtu = family === 4 ? 600 : 1300;
    const room = mtu - (family === 4 ? 40 : 60);
    bench.receive('E', tcp(101, 5001), bytes(2000));
    t.ok(
      bench.sent.some(({ payload }) => payload.length > room),
      'before the router complained',
    );
    const quoted = tcpPacket(
      bench.tuples.AB,
      Object.assign(tcp(9001, 5001), { payloadLength: 30 }),
      bytes(30),
    );
    const frame = family === 4 ? tooBig4(quoted, mtu) : tooBig6(quoted, mtu);
    bench.path.receive(frame, frame.length, false, 0);
    bench.sent.length = 0;
    bench.receive('E', tcp(101, 5001), bytes(2000));
    t.same(Buffer.concat(bench.sent.map(({ payload }) => payload)), bytes(2000));
    t.ok(
      bench.sent.every(({ payload }) => payload.length <= room),
      'and after',
    );
    bench.sent.length = 0;
    bench.receive('B', tcp(0xfffffff1, 9001), bytes(1390));
    t.equal(bench.sent.length, 1, 'the other way is another one');
  }
});
