/** Clamp, cut, drain and what a stitched flow translates. */
import { TcpFlag } from '../../../src/wire/segment.js';
import { NO_OFFSETS } from '../../flow/driver.js';
import { type Case, TS, talk } from '../support/cases.js';
import type { TwinDriver } from '../support/driver.js';

const { Fin, Psh, Syn, Urg } = TcpFlag;

export const HANDOVER_CASES: readonly Case[] = [
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
    name: 'no cut before the core has room for what the shell holds',
    run: (d) => {
      d.open();
      d.send('E', { seq: 0, ack: 0, len: 100, ...TS });
      d.send('A>B', { seq: 0, ack: 0, len: 100, ...TS });
      d.send('B', { seq: 0, ack: 100, window: 20, ...TS });
      d.send('E', { seq: 100, ack: 0, len: 50, ...TS });
      d.enable();
      d.tick(10_000);
      d.send('B', { seq: 0, ack: 100, window: 49, ...TS });
      if (d.state !== 'clamping') throw new Error(`too early: ${d.state}`);
      d.send('B', { seq: 0, ack: 100, window: 50, ...TS });
    },
    state: 'cutting',
  },
  {
    name: 'windows after the deadline of a clamp, without its cap',
    options: { scale: { E: 7, 'A>E': 7, 'A>B': 7, B: 7 } },
    run: (d) => {
      d.open();
      // E reads nothing, and what the shell holds for it keeps the flow from being cut.
      d.send('B', { seq: 0, ack: 0, len: 10, ...TS });
      d.send('A>E', { seq: 0, ack: 0, len: 10, window: 100, ...TS });
      d.send('E', { seq: 0, ack: 10, window: 0, ...TS });
      d.send('B', { seq: 10, ack: 0, len: 5, ...TS });
      d.enable();
      d.send('A>E', { seq: 10, ack: 0, window: 60_000, ...TS });
      d.tick(200);
      d.send('A>E', { seq: 10, ack: 0, window: 60_000, ...TS });
      d.send('B', { seq: 15, ack: 0, window: 65_535, ...TS });
    },
    state: 'clamping',
    sent: 3,
  },
  {
    name: 'gigabytes in the course of a clamp',
    options: { scale: { E: 14, 'A>E': 14, 'A>B': 14, B: 14 } },
    run: (d) => {
      const wide = { window: 65_535, ...TS };
      d.open();
      d.send('A>E', { seq: 0, ack: 0, ...wide });
      d.send('B', { seq: 0, ack: 0, len: 15, ...wide });
      d.send('A>E', { seq: 0, ack: 0, len: 10, ...wide });
      // E has no room for the other 5 bytes.
      d.send('E', { seq: 0, ack: 10, window: 0, ...TS });
      d.enable();
      d.tick(200);
      let end = 0;
      for (let at = 0; at < 1.4 * 2 ** 31; at += 2 ** 29) {
        end = at + 10;
        d.send('E', { seq: at, ack: 10, len: 10, window: 0, ...TS });
        d.send('A>E', { seq: 10, ack: end, ...wide });
        d.send('A>B', { seq: at, ack: 15, len: 10, ...wide });
        d.send('B', { seq: 15, ack: end, ...wide });
      }
      d.send('E', { seq: end, ack: 10, ...wide });
      d.send('A>E', { seq: 10, ack: end, len: 5, ...wide });
      d.send('E', { seq: end, ack: 15, ...wide });
      d.send('E', { seq: end, ack: 15, len: 10, ...wide });
    },
    state: 'stitched',
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
  ...(['relayed', 'clamping', 'cutting', 'stitched'] as const).map((state) => ({
    name: `what an end can't have sent, while ${state}`,
    run: (d: TwinDriver): void => {
      d.reach(state);
      for (const from of ['E', 'B'] as const) {
        d.send(from, { seq: 1_000_000_000, ack: 0, len: 10, ...TS });
        d.send(from, { seq: 0, ack: 1_000_000_000, len: 10, flags: Fin, ...TS });
        d.send(from, { seq: -1_500_000_000, ack: 0, tsval: 2_000_000_000 });
        d.send(from, { seq: 0, ack: -1_500_000_000, tsval: 2_000_000_000 });
      }
      d.send('A>B', { seq: 100, ack: 0, len: 50, ...TS });
      d.send('B', { seq: 0, ack: 150, ...TS });
    },
    // What the shell held is relayed and acknowledged then.
    state: state === 'relayed' ? state : ('stitched' as const),
  })),
  {
    name: 'gigabytes that went straight',
    run: (d) => {
      d.reach('stitched');
      for (let at = 0; at < 3_000_000_000; at += 750_000_000) {
        d.send('B', { seq: at, ack: 150, len: 1000, ...TS });
        d.send('E', { seq: 150, ack: at + 1000, window: 65535, ...TS });
        d.send('B', { seq: at + 1000, ack: 150, ...TS });
      }
      d.send('E', { seq: -1, flags: Syn });
      d.twin.close('f', d.now);
    },
    options: { scale: { E: 14, 'A>E': 14, 'A>B': 14, B: 14 } },
    state: 'closed',
    sent: 12,
  },
];
