/** From samples to figures: which ratio is made of what. */
import t, { type Test } from 'tap';
import type { Sample as HandoverSample, Kind } from '../../bench/handover.js';
import { conclude as latency } from '../../bench/latency.js';
import { conclude as rate } from '../../bench/rate.js';
import { conclude as restart } from '../../bench/restart.js';
import { conclude as scale } from '../../bench/scale.js';
import type { BenchResult } from '../../bench/support/document.js';
import { conclude as handover } from '../../bench/support/handover-result.js';
import { RIVALS, type RivalName } from '../../bench/support/rivals.js';
import { type TableSamples, conclude as table } from '../../bench/support/table-result.js';
import { conclude as throughput } from '../../bench/throughput.js';
import { conclude as userspace } from '../../bench/userspace.js';

function medians({ figures }: BenchResult): Record<string, number> {
  return Object.fromEntries(figures.map(({ id, value }) => [id, Number(value.median.toFixed(6))]));
}

/** Every row has as many cells as there are headings, and every panel has something in it. */
function checkShape(t: Test, { tables, panels }: BenchResult): void {
  for (const { title, headings, rows } of tables) {
    for (const row of rows) t.equal(row.length, headings.length, title);
  }
  for (const panel of panels) t.not(panel.kind === 'bars' ? panel.bars.length : panel.series.length, 0);
}

const cpu = {
  all: 2,
  softirq: 0,
  hosts: { e: 0.5, s: 0, a: 0.5, b: 1 },
  programs: { 'a/shell': 0.004 },
  kernel: 0,
  outside: 0,
};

function byRival<T>(make: (name: RivalName) => T): Record<RivalName, T> {
  return Object.fromEntries(RIVALS.map((name) => [name, make(name)])) as Record<RivalName, T>;
}

t.test('throughput', async (t) => {
  const speeds: Partial<Record<RivalName, number[]>> = {
    routed: [100, 200],
    cable: [190, 228],
    haproxy: [50, 60],
    stitched: [110, 180],
  };
  const samples = byRival((name) =>
    (speeds[name] ?? [10, 10]).map((mbit) => ({
      mbit,
      retransmissions: 0,
      cpu,
      ...(name === 'stitched' && { flows: { flows: 2, stitched: mbit > 150 ? 1 : 2, bytesToShell: 0 } }),
    })),
  );
  const result = throughput('kernel', { 1: samples, 16: samples });
  t.match(medians(result), {
    // Run by run: 1.1 and 0.9.
    'throughput-routed-1': 1,
    'throughput-haproxy-16': 2.6,
    'throughput-ceiling-16': 3.8,
    'shell-bytes': 0,
    'shell-cpu': 0.004,
  });
  t.strictSame(result.notes, [
    'run 2, 1 streams: 1 of 2 flows were not stitched',
    'run 2, 16 streams: 1 of 2 flows were not stitched',
  ]);
  checkShape(t, result);
});

function echo(p50: number) {
  const points = Array.from({ length: 101 }, (_, i) => (i < 99 ? p50 : 3 * p50));
  return { target: 'x', rounds: 1000, points, p999: 9 * p50, slices: [p50] };
}

t.test('latency', async (t) => {
  const times: Partial<Record<RivalName, number[]>> = {
    routed: [10_000, 20_000],
    stitched: [11_000, 20_000],
  };
  const result = latency(
    'kernel',
    byRival((name) => (times[name] ?? [30_000, 30_000]).map(echo)),
  );
  t.strictSame(medians(result), { 'latency-p50': 1.05, 'latency-p99': 1.05 });
  t.match(result.tables[0]?.rows[1], ['routed', '15.0 (10.0 … 20.0)', '45.0 (30.0 … 60.0)']);
  checkShape(t, result);
});

function transfer(kind: Kind, sentAgain: number, pause: number, faults: string[] = []): HandoverSample {
  const elsewhere = { retrans: 0, pauseE: 1, pauseB: 2 };
  const view = { retrans: { e: sentAgain, b: 0, a: 1 }, pause: { e: pause, b: 0.2 }, elsewhere };
  return { kind, run: 0, up: 1e9, down: 1e9, times: { clamping: 1, cutting: 2, stitched: 3 }, view, faults };
}

t.test('handover', async (t) => {
  const { view: _, times: __, ...unstitched } = transfer('handover', 0, 0);
  const clean = [
    transfer('handover', 0, 3),
    transfer('relayed', 5, 9),
    transfer('handover', 4, 7),
    unstitched,
  ];
  const lossy = [transfer('handover', 50, 200, ['E received a wrong byte at 8'])];
  const result = handover('kernel', { clean, lossy });
  t.strictSame(medians(result), {
    'handover-retrans': 3,
    'handover-pause': 5,
    'handover-broken': 0,
    'handover-broken-lossy': 1,
  });
  t.strictSame(result.notes, [
    'handover 1: E received a wrong byte at 8',
    '1 of 3 transfers without loss were not stitched in time, and are left out',
  ]);
  checkShape(t, result);
});

t.test('rate', async (t) => {
  const us = { p50: 1000, p90: 2000, p99: 3000, max: 4000 };
  const one = (perSecond: number, stitched: number) => ({
    plan: { count: 100, concurrency: 8, limitMs: 1000, histories: 1 },
    report: {
      start: 0,
      opened: 100,
      completed: 100,
      letGo: stitched,
      failed: 0,
      ms: 1000,
      lastError: '',
      connectUs: us,
      answerUs: us,
      holdUs: us,
      endUs: us,
      marks: [],
    },
    stitched,
    rate: perSecond,
    cpu,
    steps: { 'watched → relayed': [1, 2] },
  });
  const result = rate('kernel', { calibration: [one(1000, 100)], runs: [one(2000, 100), one(3000, 90)] });
  t.strictSame(medians(result), { rate: 2500, 'rate-stitched': 0.95 });
  t.strictSame(result.notes, ['run 2: 10 connections ended before they were stitched']);
  checkShape(t, result);
});

t.test('scale', async (t) => {
  const size = (flows: number, stitched: number, insertSeconds: number | null) => ({
    flows,
    insertSeconds,
    bytesPerFlow: insertSeconds === null ? null : 500,
    mbit: { routed: [100, 200], stitched: [stitched, 2 * stitched] },
    echo: { routed: [echo(10)], stitched: [echo(stitched)] },
  });
  const full = scale('kernel', [size(1, 100, null), size(10_000, 99, 0.1), size(1_000_000, 95, 8)]);
  t.strictSame(medians(full), {
    'scale-throughput': 0.95,
    'scale-latency': 0.95,
    'scale-memory': 500,
    'scale-insert': 8,
  });
  t.strictSame(full.notes, []);
  checkShape(t, full);
  const alone = scale('userspace', [size(1, 100, null)]);
  t.strictSame(alone.figures, []);
  t.match(alone.notes, [/the userspace data path takes no synthetic flows/]);
});

t.test('userspace', async (t) => {
  const sample = { routedMbit: 1000, mbit: 600, packets: 70_000, cores: 0.9, flows: 2, stitched: 2 };
  const result = userspace('userspace', { small: [sample], super: [{ ...sample, stitched: 1 }] });
  t.strictSame(medians(result), { 'userspace-mbit': 600, 'userspace-packets': 70_000 });
  t.strictSame(result.notes, ['1 flows were not stitched']);
  checkShape(t, result);
});

t.test('restart', async (t) => {
  /** Nanoseconds. */
  const echo = (p999: number, longest: number) => ({
    target: 'stitched',
    rounds: 1000,
    points: [...new Array<number>(100).fill(20_000), longest],
    p999,
    slices: [20_000],
  });
  const samples = {
    quiet: [{ echo: echo(30_000, 50_000), again: 0, away: null }],
    beside: [{ echo: echo(1e6, 4e6), again: 0, away: 900 }],
    restarted: [{ echo: echo(1.1e6, 6e6), again: 2, away: 1000 }],
  };
  const quieter = { ...samples, restarted: [{ echo: echo(1e6, 2e6), again: 0, away: 1000 }] };
  const result = restart('kernel', { shared: samples, first: quieter });
  t.match(medians(result), {
    'restart-longest-shared': 1.5,
    'restart-p999-shared': 1.1,
    'restart-longest-first': 0.5,
    'restart-p999-first': 1,
    'restart-again': 1,
  });
  checkShape(t, result);
});

t.test('table', async (t) => {
  const start = (seconds: number, found: Record<string, number>) => ({ seconds, found, memoryMiB: 500 });
  const traffic = { roundTrips: 1000, worstMs: 3, sentAgain: 0, covers: true };
  const samples: TableSamples = {
    flows: 1000,
    fill: {
      flows: 1000,
      write: [0.5, 0.25],
      change: [1],
      secureMicros: [100, 300],
      bytes: { used: 700, record: 600, inSet: 100 },
    },
    restored: [start(2, { restored: 1000 }), start(4, { restored: 1000 })],
    adopted: [start(1, { adopted: 999 })],
    underTraffic: [{ ...start(1.5, { adopted: 1032 }), traffic: { ...traffic, covers: false } }],
    looks: [{ flows: 400, flow: 2, stats: 5, list: 900, wait: 300 }],
    memoryMiB: 600,
  };
  const result = table('kernel', samples);
  t.strictSame(medians(result), {
    'table-restore': 3,
    'table-adopt': 1,
    'table-traffic': 1.5,
    'table-lost': 0,
    'table-write': 3000,
    'table-secure': 0.2,
    'table-bytes': 700,
    'table-memory': 600,
    'table-list': 400,
  });
  t.strictSame(result.notes, [
    'all in the kernel, run 1: only 999 flows were adopted',
    'under traffic, run 1: the traffic ended before the start did',
  ]);
  checkShape(t, result);
});
