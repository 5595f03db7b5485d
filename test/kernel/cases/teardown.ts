/** FINs and RSTs that are held, let go on, repeated and given up: the steps of test/flow/hold.test.ts, from either end. */
import type { TeardownMode } from '../../../src/flow/state.js';
import { TcpFlag } from '../../../src/wire/segment.js';
import type { Given } from '../../flow/driver.js';
import { type Case, TS } from '../support/cases.js';
import type { TwinDriver } from '../support/driver.js';

const { Fin, Rst } = TcpFlag;

/** One end and the other, and where their streams stand in a flow that was stitched. */
interface Scene {
  readonly d: TwinDriver;
  readonly name: 'peer' | 'core';
  readonly other: 'peer' | 'core';
  /** `seq` and `ack` are added to where the streams stand. */
  x(seq: number, ack: number, more?: Given): void;
  y(seq: number, ack: number, more?: Given): void;
}

function sceneOf(d: TwinDriver, end: 'E' | 'B'): Scene {
  const at = { E: 150, B: 0 };
  const far = end === 'E' ? 'B' : 'E';
  const sender = (from: 'E' | 'B', to: 'E' | 'B') => (seq: number, ack: number, more: Given) => {
    d.send(from, { seq: at[from] + seq, ack: at[to] + ack, ...TS, ...more });
  };
  const [name, other] = end === 'E' ? (['peer', 'core'] as const) : (['core', 'peer'] as const);
  return { d, name, other, x: sender(end, far), y: sender(far, end) };
}

interface Steps extends Pick<Case, 'state' | 'sent'> {
  readonly name: string;
  readonly run: (scene: Scene) => void;
  readonly mode?: TeardownMode;
}

const RESET: Given = { flags: Rst };
const FIN: Given = { flags: Fin };

const STEPS: readonly Steps[] = [
  {
    name: 'FIN, answered, and the other end after it',
    run: ({ d, name, other, x, y }) => {
      x(0, 0, FIN);
      x(0, 0, FIN);
      d.proceed(name);
      d.proceed(name);
      y(0, 1);
      y(0, 1, { flags: Fin, len: 30 });
      x(1, 30);
      d.proceed(other);
      x(1, 31);
      y(0, 1, FIN);
      y(0, 1, { len: 30 });
    },
    state: 'closed',
    sent: 9,
  },
  {
    name: 'FINs of both at once, and late answers',
    run: ({ d, name, other, x, y }) => {
      x(0, 0, FIN);
      y(0, 0, FIN);
      d.proceed(other);
      x(1, 1);
      d.proceed(name);
      y(1, 1);
      d.proceed(name);
    },
    state: 'closed',
    sent: 5,
  },
  {
    name: 'FIN with data, lost data before it, half-closed with data the other way',
    run: ({ d, name, x, y }) => {
      x(20, 0, { flags: Fin, len: 10 });
      y(0, 0, { sack: [[20, 30]], window: 100 });
      x(0, 0, { len: 20 });
      y(0, 20);
      y(0, 30);
      x(30, 0);
      y(0, 30, { len: 500 });
      x(31, 500);
      x(31, 500, { window: 0 });
      d.proceed(name);
      y(500, 30, { len: 100 });
      x(31, 600);
      d.tick(300);
      x(10, 600, { len: 20, flags: Fin });
      y(600, 31);
      x(10, 600, { len: 20 });
      d.tick(10_000);
    },
    state: 'closing',
    sent: 14,
  },
  {
    name: 'keepalives while held, on the way and delivered',
    run: ({ d, name, x, y }) => {
      x(0, 0, FIN);
      x(0, 0);
      d.proceed(name);
      x(0, 0);
      y(0, 1);
      x(0, 0);
    },
    state: 'closing',
    sent: 5,
  },
  {
    name: 'nobody answers, and the other end neither',
    mode: 'shell',
    run: ({ d, x }) => {
      x(0, 0, FIN);
      d.tick(4_999);
      d.tick(1);
      for (let i = 0, wait = 300; i < 8; i++, wait *= 2) {
        d.tick(wait - 1);
        d.tick(1);
      }
      d.tick(300 * 2 ** 8);
      x(1, 0);
    },
    state: 'broken',
    sent: 12,
  },
  {
    name: 'the other end answers, though not for the FIN',
    run: ({ d, name, x, y }) => {
      x(0, 0, FIN);
      d.proceed(name);
      for (let i = 0; i < 60; i++) {
        d.tick(2_400);
        y(0, 0, { window: 0 });
      }
      y(0, 1);
    },
    state: 'closing',
    sent: 60,
  },
  {
    name: 'RST, answered',
    run: ({ d, name, x, y }) => {
      x(0, 0, RESET);
      y(0, 0, { len: 10 });
      x(0, 0, RESET);
      d.proceed(name);
      d.proceed(name);
      y(0, 0, { len: 10 });
    },
    state: 'closed',
    sent: 1,
  },
  {
    name: 'RST, and nobody answers',
    run: ({ d, x, y }) => {
      y(0, 0, { len: 10 });
      x(0, 0, RESET);
      d.tick(5_000);
    },
    state: 'closed',
    sent: 2,
  },
  {
    name: 'RST that does not count',
    run: ({ x }) => x(5, 0, RESET),
    state: 'stitched',
    sent: 1,
  },
  {
    name: 'RST of both ends',
    run: ({ d, name, x, y }) => {
      x(0, 0, RESET);
      y(0, 0, RESET);
      d.proceed(name);
    },
    state: 'closed',
  },
  {
    name: 'RST behind a FIN, and against one',
    run: ({ d, name, other, x, y }) => {
      x(0, 0, FIN);
      y(0, 1, RESET);
      d.proceed(name);
      x(1, 0, RESET);
      d.proceed(other);
    },
    state: 'closed',
    sent: 1,
  },
  {
    name: 'RST behind a FIN that was let go on',
    run: ({ d, name, x }) => {
      x(0, 0, FIN);
      d.proceed(name);
      x(1, 0, RESET);
      d.tick(300);
      d.proceed(name);
    },
    state: 'closed',
    sent: 3,
  },
  {
    name: 'RST of an end that left in order',
    run: ({ d, name, other, x, y }) => {
      x(0, 0, FIN);
      d.proceed(name);
      y(0, 1);
      y(0, 1, FIN);
      y(1, 1, RESET);
      d.proceed(other);
      x(1, 1);
    },
    state: 'closed',
    sent: 5,
  },
  {
    name: 'given up while a FIN is held',
    run: ({ d, x }) => {
      x(0, 0, FIN);
      d.twin.close('f', d.now);
    },
    state: 'closed',
    sent: 3,
  },
];

export const TEARDOWN_CASES: readonly Case[] = [
  ...STEPS.flatMap(({ name, run, mode = 'control', ...rest }) =>
    (['E', 'B'] as const).map((end) => ({
      name: `${mode}: ${name}, by ${end}`,
      options: { teardown: mode },
      run: (d: TwinDriver): void => {
        d.reach('stitched');
        run(sceneOf(d, end));
      },
      ...rest,
    })),
  ),
  {
    name: 'control: a FIN during the drain comes again',
    options: { teardown: 'control' },
    run: (d) => {
      d.reach('cutting');
      d.send('E', { seq: 150, ack: 0, len: 5, flags: Fin, ...TS });
      d.send('A>B', { seq: 100, ack: 0, len: 50, ...TS });
      d.send('B', { seq: 0, ack: 155, ...TS });
      d.send('E', { seq: 155, ack: 0, flags: Fin, ...TS });
    },
    state: 'closing',
    sent: 4,
  },
  ...(['core', 'both'] as const).map((teardown) => ({
    name: `${teardown}: FIN and RST go on at once`,
    options: { teardown },
    run: (d: TwinDriver): void => {
      d.reach('stitched');
      d.send('E', { seq: 150, ack: 0, flags: Fin, ...TS });
      d.send('B', { seq: 0, ack: 151, ...TS });
      d.send('B', { seq: 0, flags: Rst });
    },
    state: 'closed' as const,
    sent: 3,
  })),
];
