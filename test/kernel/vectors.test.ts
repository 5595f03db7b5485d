/**
 * Named cases for the kernel's program beside the flow engine. What comes out is compared by the twin, byte for byte; a
 * case says in addition where it has to lead, so that none passes by never reaching its subject.
 */

import { Verdict } from '../../src/flow/engine.js';
import type { FlowState } from '../../src/flow/state.js';
import { OptionBit, TcpFlag } from '../../src/wire/segment.js';
import { type DriverOptions, type From, type Given, INNER, NO_OFFSETS, OUTER } from '../flow/driver.js';
import { type Family, TwinDriver, withKernel, withTwin } from './support/driver.js';
import { frameOf, type RawPacket, rawFrame } from './support/frames.js';

const { Ack, Fin, Rst, Syn, Psh, Urg, Ece, Cwr } = TcpFlag;
const TS = { tsval: 120, tsecr: 110 };
const NOPS = (bytes: number): Buffer => Buffer.alloc(bytes, 1);

interface Case {
  readonly name: string;
  readonly options?: DriverOptions;
  readonly families?: readonly Family[];
  readonly run: (driver: TwinDriver) => void;
  /** How many steps the kernel keeps a relayed flow that ended. */
  readonly forgetAfter?: number;
  /** The flow's state at the end. */
  readonly state: FlowState | 'gone';
  /** How many packets both sent, at the least. */
  readonly sent?: number;
}

/** A frame on the numbers of the driver. */
function raw(driver: TwinDriver, from: From, given: Given, more: Partial<RawPacket> = {}): Buffer {
  const { seq, ack, flags, payloadLength, window } = driver.segment(from, given);
  return rawFrame({ tuple: driver.tuples[from], seq, ack, flags, window, length: payloadLength, ...more });
}

function syn(driver: TwinDriver, from: From, options: number[], flags = 0, ack?: number): void {
  const given = ack === undefined ? { seq: -1, flags: Syn | flags } : { seq: -1, ack, flags: Syn | flags };
  driver.twin.receiveFrame(raw(driver, from, given, { options: Buffer.from(options) }), driver.now);
}

const MSS = [2, 4, 5, 0xb4];
const TIMESTAMPS = [1, 1, 8, 10, 0, 0, 0, 100, 0, 0, 0, 0];
const SACK_PERMITTED = [1, 1, 4, 2];

/** All four SYNs by hand, then acks; the inner connection is paired between. */
function handshakes(driver: TwinDriver, given: Partial<Record<From, [number[], number?]>>): void {
  const one = (from: From, ack?: number): void => {
    const [options, flags] = given[from] ?? [MSS];
    syn(driver, from, options, flags, ack);
  };
  one('E');
  one('A>E', 0);
  driver.send('E', { ack: 0 });
  driver.pairAs('f', OUTER, INNER, driver.now);
  one('A>B');
  one('B', 0);
  driver.send('A>B', { ack: 0 });
}

/** Data, retransmissions and acks on a stitched flow, each way. */
function talk(driver: TwinDriver): void {
  driver.send('E', { seq: 150, ack: 0, len: 200, flags: Psh, ...TS });
  driver.send('B', { seq: 0, ack: 350, window: 1, ...TS });
  driver.send('B', { seq: 0, ack: 350, len: 700, ...TS });
  driver.send('E', { seq: 350, ack: 700, window: 0, ...TS });
  driver.send('E', { seq: 100, ack: 700, len: 250, ...TS });
  driver.send('E', { seq: 349, ack: 700, len: 1, ...TS });
  driver.send('A>E', { seq: 0, ack: 150, ...TS });
}

const CASES: readonly Case[] = [
  {
    name: 'nothing in flight: stitched at once',
    run: (d) => d.open().enable(),
    state: 'stitched',
  },
  {
    name: 'clamp, cut, drain, stitched, data both ways',
    run: (d) => talk(d.reach('stitched')),
    state: 'stitched',
    sent: 8,
  },
  {
    name: 'window scales that differ',
    options: { scale: { E: 7, 'A>E': 2, 'A>B': 0, B: 10 } },
    run: (d) => talk(d.reach('stitched')),
    state: 'stitched',
    sent: 8,
  },
  {
    name: 'no timestamps and no SACK',
    options: { timestamps: false, sack: false },
    run: (d) => {
      d.reach('stitched');
      d.send('E', { seq: 150, ack: 0, len: 200 });
      d.send('B', { seq: 0, ack: 350, sack: [[400, 500]] });
    },
    state: 'stitched',
    sent: 4,
  },
  {
    name: 'a request before the handshakes are complete',
    run: (d) => {
      d.openOuter().enable().openInner();
      d.tick(1);
    },
    state: 'stitched',
  },
  {
    name: 'the clamp gives up waiting for windows at its deadline',
    run: (d) => {
      d.reach('clamping');
      d.tick(199);
      if (d.state !== 'clamping') throw new Error(`too early: ${d.state}`);
      d.tick(1);
    },
    state: 'cutting',
  },
  {
    name: 'windows while clamped, and growth that is announced',
    run: (d) => {
      d.reach('clamping');
      d.send('A>E', { seq: 0, ack: 150, window: 65_535, ...TS });
      d.send('E', { seq: 150, ack: 0, len: 100, ...TS });
      d.send('B', { seq: 0, ack: 100, window: 65_535, ...TS });
      d.send('A>B', { seq: 100, ack: 0, len: 150, ...TS });
      d.send('B', { seq: 0, ack: 250, window: 65_535, ...TS });
    },
    state: 'stitched',
    sent: 4,
  },
  {
    name: 'retransmissions across the cut, below and above it',
    run: (d) => {
      d.reach('cutting');
      d.send('E', { seq: 100, ack: 0, len: 50, ...TS });
      d.send('E', { seq: 100, ack: 0, len: 150, flags: Psh, ...TS });
      d.send('E', { seq: 150, ack: 0, len: 100, flags: Psh | Urg, ...TS });
      d.send('E', { seq: 120, ack: 0, len: 1, ...TS });
      d.send('A>B', { seq: 100, ack: 0, len: 50, ...TS });
      d.send('A>B', { seq: 100, ack: 0, len: 50, ...TS });
    },
    state: 'cutting',
    sent: 6,
  },
  {
    name: 'a segment across the cut over what the shell consumed goes to the shell alone',
    run: (d) => {
      d.open().holdBytes();
      d.twin.enable('f', { ...NO_OFFSETS, consumedFromPeer: 120, injectedToCore: 120 }, d.now);
      d.send('E', { seq: 100, ack: 0, len: 150, ...TS });
    },
    state: 'cutting',
    sent: 1,
  },
  {
    name: 'offsets both ways, then data',
    run: (d) => {
      d.open().holdBytes();
      d.twin.enable(
        'f',
        { consumedFromPeer: 20, injectedToCore: 30, consumedFromCore: 0, injectedToPeer: 7 },
        d.now,
      );
      d.send('A>E', { seq: 0, ack: 150, len: 7, ...TS });
      d.send('E', { seq: 150, ack: 7, ...TS });
      d.send('A>B', { seq: 100, ack: 0, len: 60, ...TS });
      d.send('B', { seq: 0, ack: 160, ...TS });
      talk(d);
    },
    state: 'stitched',
    sent: 8,
  },
  {
    name: 'SACK and D-SACK while draining',
    run: (d) => {
      d.reach('cutting');
      d.send('E', { seq: 200, ack: 0, len: 100, ...TS });
      d.send('B', { seq: 0, ack: 100, sack: [[150, 250]], ...TS });
      d.send('B', {
        seq: 0,
        ack: 100,
        sack: [
          [50, 100],
          [150, 250],
        ],
        ...TS,
      });
      d.send('A>B', { seq: 100, ack: 0, len: 50, sack: [[10, 20]], ...TS });
      d.send('B', { seq: 0, ack: 150, sack: [[200, 300]], ...TS });
    },
    state: 'stitched',
    sent: 5,
  },
  {
    name: 'SACK and D-SACK once stitched, also of bytes that have no counterpart',
    run: (d) => {
      d.open().holdBytes();
      d.twin.enable('f', { ...NO_OFFSETS, consumedFromPeer: 20 }, d.now);
      d.send('A>B', { seq: 100, ack: 0, len: 30, ...TS });
      d.send('B', { seq: 0, ack: 130, ...TS });
      d.send('B', {
        seq: 0,
        ack: 130,
        sack: [
          [-200, -100],
          [140, 150],
          [160, 170],
        ],
        ...TS,
      });
      d.send('B', { seq: 0, ack: 130, sack: [[100, 120]], ...TS });
      // The first byte that has a counterpart, and the one before it.
      d.send('B', { seq: 0, ack: 130, sack: [[0, 5]], ...TS });
      d.send('B', { seq: 0, ack: 130, sack: [[-1, 5]], ...TS });
      d.send('B', {
        seq: 0,
        ack: 130,
        sack: [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
        ...TS,
      });
      d.send('B', {
        seq: 0,
        ack: 130,
        sack: [
          [131, 132],
          [133, 134],
          [135, 136],
          [137, 138],
        ],
      });
    },
    state: 'stitched',
    sent: 6,
  },
  ...(['cutting', 'stitched', 'relayed'] as const).map((state) => ({
    name: `a SYN on a live tuple, ${state}`,
    run: (d: TwinDriver): void => {
      d.reach(state);
      syn(d, 'E', [...MSS, ...TIMESTAMPS]);
      syn(d, 'B', [...MSS, ...TIMESTAMPS], 0, 0);
      syn(d, 'A>E', MSS);
    },
    state,
    sent: state === 'relayed' ? 0 : 2,
  })),
  ...([4, 8, 40] as const).map((bytes) => ({
    name: `${bytes} bytes of IPv4 options, on edited, cut and made packets`,
    families: [4] as const,
    run: (d: TwinDriver): void => {
      const ipOptions = NOPS(bytes);
      d.reach('cutting');
      d.twin.receiveFrame(raw(d, 'E', { seq: 100, ack: 0, len: 151 }, { ipOptions }), d.now);
      d.twin.receiveFrame(raw(d, 'E', { seq: -1, flags: Syn }, { ipOptions }), d.now);
      d.twin.receiveFrame(raw(d, 'B', { seq: 0, ack: 150 }, { ipOptions }), d.now);
      d.twin.receiveFrame(raw(d, 'E', { seq: 150, ack: 0, len: 3 }, { ipOptions, options: NOPS(40) }), d.now);
    },
    state: 'stitched' as const,
    sent: 5,
  })),
  ...[[60], [0], [0, 60, 43], [0, 60, 43, 60, 60, 60, 60, 60]].map((types) => ({
    name: `IPv6 extension headers ${types.join()}, on edited, cut and made packets`,
    families: [6] as const,
    run: (d: TwinDriver): void => {
      const extensions = types.map((type) => {
        const body = Buffer.alloc(8 + 8 * (type === 60 ? 1 : 0));
        body[1] = body.length / 8 - 1;
        return { type, body };
      });
      d.reach('cutting');
      d.twin.receiveFrame(raw(d, 'E', { seq: 100, ack: 0, len: 151 }, { extensions }), d.now);
      d.twin.receiveFrame(raw(d, 'E', { seq: -1, flags: Syn }, { extensions }), d.now);
      d.twin.receiveFrame(raw(d, 'B', { seq: 0, ack: 150 }, { extensions }), d.now);
      d.twin.receiveFrame(raw(d, 'E', { seq: 150, ack: 0, len: 3 }, { extensions }), d.now);
    },
    state: 'stitched' as const,
    sent: 5,
  })),
  {
    name: 'alignment: Fast Open, MPTCP and the unknown are taken out of every SYN',
    run: (d) => {
      const odd = [...MSS, 34, 2, 1, 1, 30, 4, 1, 2, 253, 4, 1, 2, ...TIMESTAMPS];
      handshakes(d, { E: [odd], 'A>E': [odd], 'A>B': [odd], B: [odd] });
    },
    state: 'relayed',
    sent: 4,
  },
  {
    name: 'alignment: the inner SYN asks for what the outer connection has',
    run: (d) => {
      const all = [2, 4, 0x23, 0, ...SACK_PERMITTED, ...TIMESTAMPS];
      handshakes(d, { 'A>B': [all, Ece | Cwr], B: [[2, 4, 5, 0]] });
      d.enable();
    },
    state: 'stitched',
    sent: 1,
  },
  {
    name: 'a second MSS, and an MSS of a length that it can not have',
    run: (d) =>
      handshakes(d, { E: [[...MSS, 2, 4, 1, 0]], 'A>E': [[2, 3, 5, 1]], 'A>B': [[...MSS, ...MSS]] }),
    state: 'relayed',
    sent: 3,
  },
  {
    name: 'data in a SYN',
    run: (d) => {
      d.twin.receiveFrame(
        raw(d, 'E', { seq: -1, len: 10, flags: Syn }, { options: Buffer.from([34, 2, 1, 1]) }),
        d.now,
      );
      syn(d, 'A>E', MSS, 0, 10);
      d.send('E', { seq: 10, ack: 0 });
      d.pairAs('f', OUTER, INNER, d.now);
      syn(d, 'A>B', MSS);
      syn(d, 'B', MSS, 0, 0);
      d.send('A>B', { ack: 0 });
    },
    state: 'relayed',
    sent: 1,
  },
  {
    name: 'TCP MD5 refuses',
    run: (d) => handshakes(d, { E: [[19, 18, ...new Array<number>(16).fill(9), 1, 1]] }),
    state: 'refused',
  },
  {
    name: 'ECN that the core alone has not refuses',
    run: (d) => handshakes(d, { E: [MSS, Ece | Cwr], 'A>E': [MSS, Ece], 'A>B': [MSS, Ece | Cwr] }),
    state: 'refused',
  },
  {
    name: 'timestamps that the core alone has not refuse',
    run: (d) => handshakes(d, { E: [TIMESTAMPS], 'A>E': [TIMESTAMPS], 'A>B': [TIMESTAMPS] }),
    state: 'refused',
  },
  {
    name: 'offsets that can not be refuse',
    run: (d) => d.reach('refused'),
    state: 'refused',
  },
  {
    name: 'an outer connection that nobody saw refuses',
    run: (d) => d.pairAs('f', OUTER, INNER, d.now),
    state: 'refused',
  },
  {
    name: 'a FIN while clamped refuses',
    run: (d) => {
      d.reach('clamping');
      d.send('E', { seq: 150, ack: 0, flags: Fin, ...TS });
    },
    state: 'closing',
  },
  ...(['E', 'B'] as const).map((from) => ({
    name: `a reset of ${from} while draining`,
    run: (d: TwinDriver): void => {
      d.reach('cutting');
      d.send(from, { seq: from === 'E' ? 77 : 0, flags: Rst | Ack, ack: 0 });
      d.send(from, { seq: from === 'E' ? 150 : 0, flags: Rst });
      d.send('A>B', { seq: 100, ack: 0, len: 50, ...TS });
    },
    state: 'closed' as const,
    sent: 1,
  })),
  {
    name: 'a FIN while draining comes across, and the flow closes by itself',
    run: (d) => {
      d.reach('cutting');
      d.send('E', { seq: 150, ack: 0, len: 10, flags: Fin, ...TS });
      d.send('A>B', { seq: 100, ack: 0, len: 50, ...TS });
      d.send('B', { seq: 0, ack: 150, ...TS });
      d.send('B', { seq: 0, ack: 161, flags: Fin, ...TS });
      d.send('E', { seq: 161, ack: 1, ...TS });
      d.send('B', { seq: 0, ack: 161, flags: Fin, ...TS });
    },
    state: 'closed',
    sent: 6,
  },
  {
    name: 'the shell dies while draining, and the ends go on sending',
    run: (d) => {
      d.reach('broken');
      d.send('E', { seq: 150, ack: 0, len: 10, ...TS });
      d.send('B', { seq: 0, ack: 100, ...TS });
      d.send('B', { seq: 0, flags: Rst });
      d.send('A>E', { seq: 0, ack: 150, ...TS });
    },
    state: 'broken',
    sent: 4,
  },
  {
    name: 'a drain that takes too long',
    run: (d) => {
      d.reach('cutting');
      d.tick(29_999);
      if (d.state !== 'cutting') throw new Error(`too early: ${d.state}`);
      d.tick(1);
    },
    state: 'broken',
    sent: 2,
  },
  ...(['watched', 'relayed', 'clamping', 'refused'] as const).map((state) => ({
    name: `given up while ${state}`,
    run: (d: TwinDriver): void => d.reach(state).twin.close('f', d.now),
    state: 'gone' as const,
  })),
  ...(['cutting', 'stitched', 'closing'] as const).map((state) => ({
    name: `given up while ${state}: both ends are reset`,
    run: (d: TwinDriver): void => {
      d.reach(state).twin.close('f', d.now);
      d.twin.close('f', d.now);
      d.twin.enable('f', NO_OFFSETS, d.now);
    },
    state: 'closed' as const,
    sent: 2,
  })),
  {
    name: 'an outer and an inner connection that belong to a flow already',
    run: (d) => {
      d.reach('relayed');
      d.pairAs('g', OUTER, { ...INNER, local: { ...INNER.local, port: 20_001 } }, d.now);
      d.pairAs('h', { ...OUTER, remote: { ...OUTER.remote, port: 40_001 } }, INNER, d.now);
    },
    state: 'relayed',
  },
  {
    name: 'a new connection on the tuple of a flow that closed',
    options: { timestamps: false },
    run: (d) => {
      d.reach('closed');
      syn(d, 'E', MSS);
      if (d.state !== 'closed') throw new Error('an old SYN began a connection');
      d.twin.receiveFrame(raw(d, 'E', { seq: 5000, flags: Syn }, { options: Buffer.from(MSS) }), d.now);
      d.twin.receiveFrame(
        raw(d, 'A>E', { seq: 9, ack: 5001, flags: Syn }, { options: Buffer.from(MSS) }),
        d.now,
      );
    },
    state: 'gone',
  },
  {
    name: 'a new connection on the tuples of a relayed flow that ended a moment ago',
    forgetAfter: 100,
    run: (d) => {
      d.reach('relayed').twin.close('f', d.now);
      d.send('E', { seq: 150, ack: 0, len: 5, ...TS });
      d.send('A>E', { seq: 0, ack: 155, ...TS });
      syn(d, 'B', [34, 2, 1, 1]);
      syn(d, 'E', [34, 2, 1, 1]);
      syn(d, 'A>E', [34, 2, 1, 1], 0, 0);
    },
    state: 'gone',
    sent: 3,
  },
  {
    name: 'two options of a kind that there may be one of',
    run: (d) => {
      const twice = (kind: number, bytes: number): Buffer =>
        Buffer.from([1, 1, kind, bytes, ...Array.from({ length: bytes - 2 }, (_, i) => i + 1)]);
      d.reach('stitched');
      for (const [kind, bytes] of [
        [5, 10],
        [8, 10],
        [2, 6],
        [3, 6],
      ] as const) {
        const options = Buffer.concat([twice(kind, bytes), twice(kind, bytes)]);
        d.twin.receiveFrame(raw(d, 'E', { seq: 150, ack: 0, len: 5 }, { options }), d.now);
        d.twin.receiveFrame(raw(d, 'B', { seq: 0, ack: 150 }, { options }), d.now);
      }
    },
    state: 'stitched',
    sent: 8,
  },
  {
    name: 'a new connection on the tuple of a flow that broke',
    run: (d) => {
      d.reach('broken');
      syn(d, 'E', MSS);
      d.pairAs('g', OUTER, { ...INNER, local: { ...INNER.local, port: 20_001 } }, d.now);
    },
    state: 'gone',
  },
  {
    name: 'flows that end are forgotten after a while, the quiet ones too',
    run: (d) => {
      d.reach('closed');
      d.tick(239_000);
      d.tick(2000);
    },
    state: 'gone',
  },
  {
    name: 'a flow without packets is given up',
    run: (d) => {
      d.reach('stitched');
      d.tick(7_440_000);
      d.tick(20_000);
    },
    state: 'gone',
  },
  {
    name: 'connections of no flow: reset, and forgotten',
    run: (d) => {
      d.openUnpaired().send('E', { seq: 0, flags: Rst });
      d.openUnpaired();
      d.tick(7_450_000);
      d.tick(20_000);
    },
    state: 'gone',
  },
  ...(
    [
      [8, 9],
      [5, 0],
      [2, 200],
      [77, 1],
    ] as const
  ).map((bad) => ({
    name: `a malformed option (${bad.join()}) passes untouched`,
    run: (d: TwinDriver): void => {
      const frame = raw(
        d.reach('stitched'),
        'E',
        { seq: 150, ack: 0, len: 5 },
        { options: Buffer.from([1, 1, ...bad]) },
      );
      d.twin.receiveFrame(frame, d.now);
    },
    // [8, 9] and [2, 200] end behind the header, [5, 0] and [77, 1] have no length that is possible.
    state: 'stitched' as const,
  })),
  {
    name: 'a TTL that ends here is the host’s',
    run: (d) => {
      d.reach('stitched');
      for (const ttl of [0, 1, 2]) d.twin.receiveFrame(raw(d, 'E', { seq: 150, ack: 0 }, { ttl }), d.now);
    },
    state: 'stitched',
    sent: 1,
  },
  {
    name: 'padding behind the packet is not payload',
    run: (d) => {
      d.reach('stitched');
      for (const padding of [1, 6, 300]) {
        d.twin.receiveFrame(raw(d, 'E', { seq: 150, ack: 0, len: 2 }, { padding }), d.now);
        d.twin.receiveFrame(raw(d, 'E', { seq: -1, flags: Syn }, { padding }), d.now);
      }
    },
    state: 'stitched',
    sent: 6,
  },
];

withKernel('named cases', (t, kernel) => {
  for (const { name, options, families = [4, 6], forgetAfter = 0, run, state, sent = 0 } of CASES) {
    for (const family of families as readonly Family[]) {
      t.test(`${name}, IPv${family}`, (t) => {
        withTwin(
          kernel,
          (twin) => {
            const driver = new TwinDriver(twin, options, family);
            run(driver);
            t.equal(driver.state, state);
            t.ok(twin.compared >= sent, `${twin.compared} packets compared, ${sent} at the least`);
          },
          { forgetAfter },
        );
        t.end();
      });
    }
  }
});

withKernel('frames that are left to the host', (t, kernel) => {
  withTwin(kernel, (twin) => {
    const driver = new TwinDriver(twin).reach('stitched');
    const good = raw(driver, 'E', { seq: 150, ack: 0, len: 20 });
    const changed = (at: number, ...bytes: number[]): Buffer => {
      const frame = Buffer.from(good);
      frame.set(bytes, at);
      return frame;
    };
    const frames: Record<string, Buffer> = {
      'the first fragment': changed(20, 0x20, 0),
      'a later fragment': changed(20, 0, 9),
      ARP: changed(12, 8, 6),
      UDP: changed(23, 17),
      'IP version 6 as IPv4': changed(14, 0x65),
      'a header of 16 bytes': changed(14, 0x44),
      'a length beyond the frame': changed(16, 1, 0),
      'a length of 0': changed(16, 0, 0),
      'a TCP header of 16 bytes': changed(46, 0x40),
      'a TCP header beyond the packet': changed(46, 0xf0),
      'cut within the TCP header': good.subarray(0, 40),
    };
    for (const [name, frame] of Object.entries(frames)) {
      t.equal(twin.receiveFrame(Buffer.from(frame), driver.now), undefined, name);
    }
    t.equal(twin.receiveFrame(good, driver.now), Verdict.Emit, 'and what is theirs is not');
  });
  t.end();
});

withKernel('what the userspace path does otherwise', (t, kernel) => {
  t.test('a tagged frame comes again by its own interface', (t) => {
    withTwin(kernel, (twin) => {
      const driver = new TwinDriver(twin).reach('stitched');
      const good = raw(driver, 'E', { seq: 150, ack: 0, len: 20 });
      const tagged = Buffer.concat([good.subarray(0, 12), Buffer.from([0x81, 0, 0, 5]), good.subarray(12)]);
      t.same(kernel.receive(tagged, driver.now), { retval: -1, packets: [] });
    });
    t.end();
  });

  for (const family of [4, 6] as const) {
    t.test(`a bad checksum is edited and stays bad, IPv${family}`, (t) => {
      withTwin(kernel, (twin) => {
        const driver = new TwinDriver(twin, {}, family).reach('stitched');
        const given = { seq: 150, ack: 0, len: 21 };
        const [good] = kernel.receive(raw(driver, 'E', given), driver.now).packets;
        const [bad] = kernel.receive(raw(driver, 'E', given, { spoil: 0x0101 }), driver.now).packets;
        if (!good || !bad) throw new Error('not sent');
        const at = (family === 4 ? 20 : 40) + 16;
        // One's complement: what was added on the way in is there on the way out.
        const sum = good.readUInt16BE(at) + 0x0101;
        t.equal(bad.readUInt16BE(at), sum > 0xffff ? sum - 0xffff : sum);
        bad.writeUInt16BE(good.readUInt16BE(at), at);
        t.same(bad, good, 'and nothing else differs');
        kernel.reset();
      });
      t.end();
    });
  }

  for (const family of [4, 6] as const) {
    // Of packets with a whole one only the kernel knows which they are, so here it is what the program makes anew.
    t.test(`a checksum that was left to the interface is left to the next, IPv${family}`, (t) => {
      withTwin(kernel, (twin) => {
        const driver = new TwinDriver(twin, {}, family).open().holdBytes();
        const consumed = { ...NO_OFFSETS, consumedFromPeer: 120, injectedToCore: 120 };
        twin.enable('f', consumed, driver.now);
        const cut = raw(driver, 'E', { seq: 100, ack: 0, len: 151, ...TS }, { partial: true });
        const made = raw(driver, 'B', { seq: -1, flags: Syn }, { partial: true });
        for (const frame of [cut, made]) {
          const before = twin.compared;
          t.equal(twin.receiveFrame(frame, driver.now), Verdict.Emit);
          t.equal(twin.compared, before + 1);
          t.ok(twin.wasPartial, 'for the interface to complete');
        }
      });
      t.end();
    });
  }

  t.test('without a free record a connection passes unwatched', (t) => {
    withTwin(kernel, (twin) => {
      const driver = new TwinDriver(twin);
      const segment = driver.segment('E', { seq: -1, flags: Syn });
      segment.options = OptionBit.FastOpen;
      const port = (n: number): Buffer => {
        const tuple = driver.tuples.E.clone();
        tuple.setPorts(30_000 + n, 8080);
        return frameOf(tuple, segment);
      };
      const retvals = Array.from({ length: 20 }, (_, n) => kernel.receive(port(n), driver.now).retval);
      t.same(retvals, [...new Array<number>(16).fill(2), ...new Array<number>(4).fill(-1)]);
      t.equal(kernel.unpairedCount(), 16);
      t.equal(kernel.reset(), undefined, 'all are free again');
    });
    t.end();
  });
  t.end();
});
