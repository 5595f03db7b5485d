/** How flows end: FIN, RST, a shell that dies, a flow that is given up or forgotten. */
import { TcpFlag } from '../../../src/wire/segment.js';
import { NO_OFFSETS } from '../../flow/driver.js';
import { type Case, TS } from '../support/cases.js';
import type { TwinDriver } from '../support/driver.js';

const { Ack, Fin, Rst } = TcpFlag;

export const ENDINGS_CASES: readonly Case[] = [
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
    name: 'a FIN of the shell with bytes that were never on the wire breaks',
    run: (d) => {
      d.reach('cutting');
      d.send('A>B', { seq: 100, ack: 0, len: 30, flags: Fin, ...TS });
    },
    state: 'broken',
    sent: 2,
  },
  {
    name: 'a FIN of the shell behind all that it held goes no further',
    run: (d) => {
      d.reach('cutting');
      d.send('A>B', { seq: 100, ack: 0, len: 50, ...TS });
      d.send('A>B', { seq: 149, ack: 0, len: 1, flags: Fin, ...TS });
      d.send('A>B', { seq: 140, ack: 0, len: 10, flags: Fin, ...TS });
      d.send('B', { seq: 0, ack: 150, ...TS });
    },
    state: 'stitched',
    sent: 3,
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
];
