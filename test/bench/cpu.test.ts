import t from 'tap';
import { type CpuSample, cpuBetween } from '../../bench/support/cpu.js';

type Processes = CpuSample['processes'];

function sample(at: number, all: number, processes: Processes): CpuSample {
  return { at, all, softirq: all / 10, processes };
}

t.test('cores between two samples, by host and program', async (t) => {
  const before: Processes = new Map([
    [10, { host: 'a', name: 'shell', threads: new Map([['10', 1]]) }],
    [
      20,
      {
        host: 's',
        name: 'switch',
        threads: new Map([
          ['20', 5],
          ['21', 3],
        ]),
      },
    ],
    [30, { host: 'outside', name: 'other', threads: new Map([['', 100]]) }],
    [40, { host: 'kernel', name: 'ksoftirqd/0', threads: new Map([['', 50]]) }],
    [50, { host: 'e', name: 'gone', threads: new Map([['50', 9]]) }],
  ]);
  const after: Processes = new Map([
    [
      10,
      {
        host: 'a',
        name: 'shell',
        threads: new Map([
          ['10', 1.5],
          ['11', 0.5],
        ]),
      },
    ],
    [
      20,
      {
        host: 's',
        name: 'switch',
        threads: new Map([
          ['20', 6],
          ['21', 3.5],
        ]),
      },
    ],
    [30, { host: 'outside', name: 'other', threads: new Map([['', 100.6]]) }],
    [40, { host: 'kernel', name: 'ksoftirqd/0', threads: new Map([['', 50.4]]) }],
    [60, { host: 'e', name: 'client', threads: new Map([['60', 0.2]]) }],
  ]);
  const use = cpuBetween(sample(10, 200, before), sample(12, 204, after));
  const rounded = JSON.parse(
    JSON.stringify(use, (_, value) => (typeof value === 'number' ? Number(value.toFixed(6)) : value)),
  );
  t.strictSame(rounded, {
    all: 1.7,
    softirq: 0.2,
    hosts: { e: 0.1, s: 0.75, a: 0.5, b: 0 },
    programs: {
      'a/shell': 0.5,
      's/switch, main thread': 0.5,
      's/switch, other threads': 0.25,
      'e/client': 0.1,
    },
    kernel: 0.35,
    outside: 0.3,
  });
});

t.test('ticks of /proc/stat may fall behind exact times: never below zero', async (t) => {
  const busy: Processes = new Map([[1, { host: 'b', name: 'x', threads: new Map([['1', 2]]) }]]);
  const use = cpuBetween(sample(0, 0, new Map()), sample(1, 1.9, busy));
  t.equal(use.kernel, 0);
  t.equal(use.all, 1.9);
});
