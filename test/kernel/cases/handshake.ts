/** Handshakes, their alignment, pairing, and connections that begin anew. */
import { TcpFlag } from '../../../src/wire/segment.js';
import { INNER, OUTER } from '../../flow/driver.js';
import { type Case, handshakes, MSS, raw, SACK_PERMITTED, syn, TIMESTAMPS, TS } from '../support/cases.js';
import type { TwinDriver } from '../support/driver.js';

const { Rst, Syn, Ece, Cwr } = TcpFlag;

export const HANDSHAKE_CASES: readonly Case[] = [
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
    name: 'a new connection on the tuple of a flow that broke',
    run: (d) => {
      d.reach('broken');
      syn(d, 'E', MSS);
      d.pairAs('g', OUTER, { ...INNER, local: { ...INNER.local, port: 20_001 } }, d.now);
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
  {
    name: 'a new connection of the same ports as an unpaired one',
    run: (d) => {
      d.openUnpaired();
      d.send('E', { seq: 0, ack: 0, len: 100, ...TS });
      d.send('A>E', { seq: 0, ack: 100, ...TS });
      d.send('E', { seq: -1, flags: TcpFlag.Syn });
      d.restart({ E: 7_000_000, 'A>E': 9_000_000 });
      d.open().holdBytes().enable();
      d.send('E', { seq: 150, ack: 0, len: 10, ...TS });
    },
    state: 'cutting',
    sent: 1,
  },
];
