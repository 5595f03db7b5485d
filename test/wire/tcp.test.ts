import t from 'tap';
import { OptionBit, TcpSegment } from '../../src/wire/segment.js';
import { seqNum } from '../../src/wire/seq.js';
import { readSegment, TcpParse, writeSegment } from '../../src/wire/tcp.js';
import { vector } from '../vectors/load.js';
import { frameOf, segmentOf } from './helpers.js';

const { Mss, WindowScale, SackPermitted, Sack, Timestamps, FastOpen, Mptcp, Md5, Ao, Unknown } = OptionBit;

function readVector(name: string): TcpSegment {
  return segmentOf(frameOf(vector(name).subarray(14)));
}

/** A header with these option bytes, padded with zeros to a multiple of four, and no payload. */
function header(options: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(20 + Math.ceil(options.length / 4) * 4);
  bytes[12] = (bytes.length / 4) << 4;
  bytes.set(options, 20);
  return bytes;
}

function read(bytes: Uint8Array): { parse: TcpParse; segment: TcpSegment } {
  const segment = new TcpSegment();
  return { parse: readSegment(bytes, 0, bytes.length, segment), segment };
}

/** The option bytes after `edit` was written back over them. */
function rewritten(options: readonly number[], edit: (segment: TcpSegment) => void): number[] {
  const bytes = header(options);
  const { parse, segment } = read(bytes);
  if (parse !== TcpParse.Ok) throw new Error('malformed');
  edit(segment);
  writeSegment(bytes, 0, segment);
  return [...bytes.subarray(20, 20 + options.length)];
}

t.test('a captured SYN', async (t) => {
  const segment = readVector('ipv4-syn');
  t.match(segment, {
    seq: 2547007609,
    ack: 0,
    flags: 0x02,
    window: 65280,
    urgent: 0,
    payloadLength: 0,
    options: Mss | SackPermitted | Timestamps | WindowScale,
    mss: 1360,
    windowScale: 10,
    tsval: 2852411271,
    tsecr: 0,
    sackCount: 0,
  });
});

t.test('captured data, IPv6', async (t) => {
  const segment = readVector('ipv6-data');
  t.match(segment, {
    seq: 451371602,
    ack: 2263756510 + 301,
    flags: 0x18,
    window: 63,
    payloadLength: 8,
    options: Timestamps,
    tsval: 922284452,
    tsecr: 3506043938,
  });
});

t.test('SACK at odd offsets', async (t) => {
  const odd = readVector('sack-odd');
  t.equal(odd.sackCount, 2);
  t.strictSame([...odd.sackLeft], [0x01000000, 0xfffffff0, 0, 0]);
  t.strictSame([...odd.sackRight], [0x01000100, 0x00000010, 0, 0]);
  const full = readVector('sack-full');
  t.equal(full.options, Timestamps | Sack);
  t.strictSame([full.tsval, full.tsecr], [0xfffffffe, 0x80000001]);
  t.strictSame([...full.sackLeft, ...full.sackRight], [10, 30, 50, 0, 20, 40, 60, 0]);
});

t.test('every option that is known, and one that is not', async (t) => {
  const syn = readVector('syn-options');
  t.equal(syn.options, Mss | SackPermitted | WindowScale | FastOpen | Mptcp | Ao | Unknown);
  t.strictSame([syn.mss, syn.windowScale], [1460, 7]);
  const md5 = readVector('syn-md5');
  t.equal(md5.options, Md5 | Unknown | Mss);
  t.equal(md5.mss, 536);
});

t.test('a segment that is read forgets the one before', async (t) => {
  const segment = segmentOf(frameOf(vector('sack-full').subarray(14)));
  const plain = header([]);
  t.equal(readSegment(plain, 0, plain.length, segment), TcpParse.Ok);
  t.strictSame({ ...segment }, { ...new TcpSegment() });
});

t.test('options: what is malformed and what is not', async (t) => {
  const bad: [string, number[]][] = [
    ['length 0', [8, 0, 0, 0]],
    ['length 1', [8, 1, 0, 0]],
    ['an unknown kind with length 0', [77, 0, 0, 0]],
    ['past the end by one', [1, 3, 4, 7]],
    ['past the end by much', [5, 255, 0, 0]],
    ['a kind without length', [1, 1, 1, 8]],
    ['SACK permitted without length', [1, 1, 1, 4]],
    ['malformed behind a good one', [2, 4, 5, 180, 8, 11, 0, 0]],
  ];
  for (const [name, options] of bad) t.equal(read(header(options)).parse, TcpParse.Malformed, name);

  const good: [string, number[], number][] = [
    ['none', [], 0],
    ['NOPs to the end', [1, 1, 1, 1], 0],
    ['rubbish behind the end of options', [0, 8, 0, 255], 0],
    ['a kind as the last byte behind the end', [1, 1, 0, 8], 0],
    ['an unknown kind of the shortest length', [77, 2, 1, 1], Unknown],
    ['experiment 254', [254, 4, 0xf9, 0x89], Unknown],
    ['MSS of three bytes', [2, 3, 5, 1], Unknown],
    ['window scale of four bytes', [3, 4, 7, 7], Unknown],
    ['SACK without a block', [5, 2, 1, 1], Unknown],
    ['SACK of a block and a half', [5, 14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1], Unknown],
    ['timestamps of eight bytes', [8, 8, 0, 0, 0, 0, 0, 0], Unknown],
    ['MSS twice', [2, 4, 5, 180, 2, 4, 2, 24], Mss | Unknown],
    ['MPTCP twice is how MPTCP does it', [30, 4, 0, 0, 30, 4, 1, 1], Mptcp],
  ];
  for (const [name, options, bits] of good) {
    const { parse, segment } = read(header(options));
    t.equal(parse, TcpParse.Ok, name);
    t.equal(segment.options, bits, name);
  }
  t.equal(read(header([2, 4, 5, 180, 2, 4, 2, 24])).segment.mss, 1460, 'the first MSS counts');
});

t.test('headers: what is malformed', async (t) => {
  const bytes = header([1, 1, 1, 1]);
  t.equal(readSegment(bytes, 0, 24, new TcpSegment()), TcpParse.Ok);
  for (let end = 0; end < 24; end++) {
    t.equal(readSegment(bytes, 0, end, new TcpSegment()), TcpParse.Malformed, `${end} bytes`);
  }
  bytes[12] = 0x40;
  t.equal(readSegment(bytes, 0, 24, new TcpSegment()), TcpParse.Malformed, 'data offset 4');
});

t.test('writing back what was read changes nothing', async (t) => {
  for (const name of ['ipv4-syn', 'sack-odd', 'sack-full', 'syn-options', 'syn-md5', 'ipv6-data']) {
    const packet = vector(name).subarray(14);
    const before = [...packet];
    const frame = frameOf(packet);
    writeSegment(packet, frame.l4, segmentOf(frame));
    t.strictSame([...packet], before, name);
  }
});

t.test('values are written in place', async (t) => {
  const packet = vector('sack-full').subarray(14);
  const frame = frameOf(packet);
  const segment = segmentOf(frame);
  const checksum = packet[frame.l4 + 16];
  Object.assign(segment, { seq: seqNum(-1), ack: seqNum(0x80000000), flags: 0xd8, window: 65535, urgent: 7 });
  Object.assign(segment, { tsval: 0xffffffff, tsecr: 1 });
  segment.sackLeft[2] = 0xdeadbeef;
  writeSegment(packet, frame.l4, segment);
  t.strictSame({ ...segmentOf(frame) }, { ...segment });
  t.equal(packet[frame.l4 + 12], 0xf0, 'the header keeps its size');
  t.equal(packet[frame.l4 + 16], checksum, 'the checksum is left');

  t.strictSame(
    rewritten([2, 4, 5, 180, 1, 3, 3, 10], (s) => Object.assign(s, { mss: 1400, windowScale: 2 })),
    [2, 4, 5, 120, 1, 3, 3, 2],
  );
});

t.test('an option whose bit is cleared becomes NOPs', async (t) => {
  const syn = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
  const nops = (length: number): number[] => new Array<number>(length).fill(1);
  const without = (bit: number) =>
    rewritten(syn, (s) => {
      s.options &= ~bit;
    });
  t.strictSame(without(Mss), [...nops(4), ...syn.slice(4)]);
  t.strictSame(without(SackPermitted), [...syn.slice(0, 4), 1, 1, ...syn.slice(6)]);
  t.strictSame(without(Timestamps), [...syn.slice(0, 6), ...nops(10), ...syn.slice(16)]);
  t.strictSame(without(WindowScale), [...syn.slice(0, 17), 1, 1, 1]);
  t.strictSame(without(~0), nops(20));
  const odd = [30, 4, 0, 0, 34, 2, 29, 4, 1, 1, 19, 3, 9, 77, 3, 9, 77, 2, 1, 1];
  for (const [bit, from, to] of [
    [Mptcp, 0, 4],
    [FastOpen, 4, 6],
    [Ao, 6, 10],
    [Md5, 10, 13],
    [Unknown, 13, 18],
  ] as const) {
    const got = rewritten(odd, (s) => {
      s.options &= ~bit;
    });
    t.strictSame(got, [...odd.slice(0, from), ...nops(to - from), ...odd.slice(to)]);
  }
});

t.test('a second MSS goes with the first, or as unknown', async (t) => {
  const twice = [2, 4, 5, 180, 2, 4, 2, 24];
  const set = (options: number) =>
    rewritten(twice, (s) => {
      s.options = options;
      s.mss = 1000;
    });
  t.strictSame(set(Mss | Unknown), [2, 4, 3, 232, 2, 4, 2, 24]);
  t.strictSame(set(Mss), [2, 4, 3, 232, 1, 1, 1, 1]);
  t.strictSame(set(Unknown), new Array(8).fill(1));
});

t.test('fewer SACK blocks: a shorter option and NOPs', async (t) => {
  const block = (value: number): number[] => [0, 0, 0, value, 0, 0, 0, value + 1];
  const sack = [1, 5, 18, ...block(10), ...block(20), 1];
  const keep = (count: number, left = 10) =>
    rewritten(sack, (s) => {
      s.sackCount = count;
      s.sackLeft[0] = left;
    });
  t.strictSame(keep(2), sack);
  t.strictSame(keep(1, 9), [1, 5, 10, 0, 0, 0, 9, 0, 0, 0, 11, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
  t.strictSame(keep(0), new Array(20).fill(1));
  t.strictSame(keep(4), sack, 'more than there is room for are not written');
});

t.test('writing over malformed options stops at them', async (t) => {
  for (const options of [
    [2, 4, 5, 180, 8, 0, 0, 0],
    [2, 4, 5, 180, 8, 11, 0, 0],
    [2, 4, 5, 180, 1, 1, 1, 5],
  ]) {
    const bytes = header(options);
    const segment = new TcpSegment();
    writeSegment(bytes, 0, segment);
    t.strictSame([...bytes.subarray(20)], [1, 1, 1, 1, ...options.slice(4)]);
  }
});

t.test('an option that the header does not hold is not added', async (t) => {
  const options = [1, 1, 4, 2];
  t.strictSame(
    rewritten(options, (s) => {
      s.options |= Timestamps | Mss | Sack;
      s.sackCount = 1;
    }),
    options,
  );
});
