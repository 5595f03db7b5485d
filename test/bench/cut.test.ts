import t from 'tap';
import type { BulkReport, EndReport } from '../../bench/support/bulk.js';
import { faults, pauseWindow, retransWindow, viewOf } from '../../bench/support/cut.js';

function end(overrides: Partial<EndReport>): EndReport {
  return {
    end: 'peer',
    seed: 1,
    local: '10.201.1.2:4000',
    start: 0,
    ms: 1000,
    sent: 800,
    received: 900,
    wrongAt: -1,
    retrans: [],
    hosts: {},
    pauses: [],
    ...overrides,
  };
}

const TIMES = { clamping: 300, cutting: 305, stitched: 310 };

t.test('windows', async (t) => {
  t.strictSame(pauseWindow(TIMES), { from: 299, to: 341 });
  t.strictSame(retransWindow(TIMES), { from: 295, to: 410 });
});

t.test('what lies around the cut, and what elsewhere', async (t) => {
  const report: BulkReport = {
    peer: end({
      retrans: [
        [200, 7],
        [300, 2],
        [409, 1],
      ],
      hosts: {
        a: [
          [100, 4],
          [311, 3],
        ],
      },
      // Slow start, elsewhere, across the window's beginning, after the sending.
      pauses: [
        [10, 50],
        [150, 6],
        [290, 12],
        [995, 30],
      ],
    }),
    core: end({ end: 'core', retrans: [[900, 1]], pauses: [[500, 8]] }),
  };
  t.strictSame(viewOf(report, TIMES, 1000), {
    retrans: { e: 3, b: 0, a: 3 },
    pause: { e: 12, b: 0.2 },
    elsewhere: { retrans: 7 + 4 + 1, pauseE: 6, pauseB: 8 },
  });
});

t.test('faults', async (t) => {
  const well = { peer: end({}), core: end({ end: 'core', sent: 900, received: 800 }) };
  t.strictSame(faults(well), []);
  const found = faults({
    peer: end({ wrongAt: 16 }),
    core: end({ end: 'core', sent: 901, received: 799, wrongAt: 0 }),
  });
  t.strictSame(found, [
    'E received a wrong byte at 16',
    'B received a wrong byte at 0',
    'E sent 800 bytes, B received 799',
    'B sent 901 bytes, E received 900',
  ]);
});
