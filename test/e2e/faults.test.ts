/**
 * Some faults of the failure matrix (docs/FAILURES.md), short: about 25 s on each data path. With
 * SUTURE_TEST_FAULTS=all every fault of every part, about 90 s. `npm run faults` has the whole matrix.
 */
import t from 'tap';
import { Matrix } from '../support/faults/matrix.js';
import type { Fault, Part } from '../support/faults/plan.js';
import { runFaults } from '../support/faults/run.js';
import { TEST_DATAPLANE } from '../support/lab/rig.js';

const SEED = 20_261_121;
const PAUSE_MS = 1000;
/** Each kind of connection once in each phase. */
const PER_PHASE = 4;

/** Other parts and faults on either path, so that both together have most of them. */
const SHORT: Readonly<Record<string, readonly [Part, Fault][]>> = {
  kernel: [
    ['switch', 'kill'],
    ['shell', 'kill'],
    ['core', 'cut'],
  ],
  userspace: [
    ['redis', 'kill'],
    ['shell', 'link'],
    ['core', 'kill'],
  ],
};
const short = SHORT[TEST_DATAPLANE] ?? [];
const isAll = process.env.SUTURE_TEST_FAULTS === 'all';

t.test('parts that fail while connections are relayed, cut, stitched and closing', async (t) => {
  const matrix = new Matrix(TEST_DATAPLANE === 'kernel' ? 'kernel' : 'userspace');
  const left = await runFaults(t, {
    matrix,
    seed: SEED,
    times: 1,
    perPhase: PER_PHASE,
    pauseMs: PAUSE_MS,
    wanted: ({ part, fault }) => isAll || short.some(([p, f]) => p === part && f === fault),
    say: (line) => t.comment(line),
  });
  for (const line of matrix.table().split('\n')) t.comment(line);
  t.same(
    [...matrix.failures(), ...left],
    [],
    'nothing was lost that TCP would have kept, and every end heard of it',
  );
});
