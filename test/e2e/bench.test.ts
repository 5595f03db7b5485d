/** `suture bench` as people run it, as short as it can be: the shape of what it gives, never the speed. */
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import t, { type Test } from 'tap';
import type { BenchDocument, Figure } from '../../bench/support/document.js';
import { RIVALS } from '../../bench/support/rivals.js';
import { CLI } from '../../src/lab/stage.js';
import { type Running, startProgram } from '../support/lab/started.js';

const NOT_AVAILABLE = 3;

function startBench(t: Test, args: readonly string[]): Running {
  const bench = startProgram(process.execPath, [CLI, 'bench', ...args], { PATH: process.env.PATH });
  t.teardown(() => bench.stop());
  return bench;
}

function checkNothingLeft(t: Test, { pid }: Running): void {
  // `setpriv` has turned into the benchmark, whose labs have its number in their names.
  const left = readdirSync('/run/netns').filter((name) => name.startsWith(`sutbench-${pid}-`));
  t.strictSame(left, [], 'no namespace is left');
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith(`suture-bench-${pid}-`));
  t.strictSame(folders, [], 'no folder is left');
}

/** The document, or undefined when a program is missing: then the reason is told, and the test skipped. */
async function benchDocument(t: Test, name: string, seconds: string): Promise<BenchDocument | undefined> {
  const bench = startBench(t, [name, '--runs', '1', '--seconds', seconds, '--json']);
  const { code } = await bench.ended;
  checkNothingLeft(t, bench);
  if (code === NOT_AVAILABLE) {
    const { error } = JSON.parse(bench.stdout) as { error: { code: string; message: string } };
    t.equal(error.code, 'SUT_NOT_AVAILABLE');
    t.match(error.message, 'apt-get install');
    t.comment(error.message);
    return undefined;
  }
  t.equal(code, 0, bench.stderr);
  const document = JSON.parse(bench.stdout) as BenchDocument;
  t.match(document, {
    bench: name,
    format: 1,
    options: { runs: 1, seconds: Number(seconds) },
    dataplane: /^(userspace|kernel)$/,
    machine: { kernel: /\d/, cpus: /\d/, node: process.version },
  });
  return document;
}

function checkFigures(t: Test, figures: readonly Figure[], ids: readonly string[]): void {
  t.strictSame(
    figures.map(({ id }) => id),
    ids,
  );
  for (const { id, value, target, met } of figures) {
    t.ok(Number.isFinite(value.median) && value.median >= 0, `${id} is a number`, { value });
    t.equal(typeof met, target ? 'boolean' : 'undefined', `${id} is judged if it has a target`);
  }
}

t.test('throughput', async (t) => {
  const document = await benchDocument(t, 'throughput', '1');
  if (!document) return;
  checkFigures(t, document.figures, [
    'throughput-routed-1',
    'throughput-routed-16',
    'throughput-haproxy-1',
    'throughput-haproxy-16',
    'throughput-ceiling-1',
    'throughput-ceiling-16',
    'shell-bytes',
    'shell-cpu',
  ]);
  type Sample = { mbit: number; cpu: { all: number; hosts: { a: number } }; flows?: { stitched: number } };
  const samples = document.samples as Record<'1' | '16', Record<string, Sample[]>>;
  for (const streams of ['1', '16'] as const) {
    t.strictSame(Object.keys(samples[streams]), [...RIVALS]);
    for (const name of RIVALS) {
      const [sample, ...more] = samples[streams][name] ?? [];
      t.equal(more.length, 0, `${name}: one sample a run`);
      t.ok((sample?.mbit ?? 0) > 0, `${name}: something was carried`);
      t.ok((sample?.cpu.all ?? 0) > 0, `${name}: and took a processor`);
    }
    // The control connection of iperf3 and its streams.
    t.equal(samples[streams].stitched?.[0]?.flows?.stitched, Number(streams) + 1, 'all were stitched');
  }
});

t.test('latency', async (t) => {
  const document = await benchDocument(t, 'latency', '0.5');
  if (!document) return;
  checkFigures(t, document.figures, ['latency-p50', 'latency-p99']);
  const samples = document.samples as Record<string, { rounds: number; points: number[] }[]>;
  t.strictSame(Object.keys(samples), [...RIVALS]);
  const rounds = RIVALS.map((name) => samples[name]?.[0]?.rounds);
  t.equal(new Set(rounds).size, 1, 'as many round trips for each', { rounds });
  for (const name of RIVALS) {
    const { points = [] } = samples[name]?.[0] ?? {};
    t.equal(points.length, 101);
    t.strictSame(
      points,
      [...points].sort((a, b) => a - b),
    );
  }
});

t.test('handover', async (t) => {
  const document = await benchDocument(t, 'handover', '1.5');
  if (!document) return;
  checkFigures(t, document.figures, [
    'handover-retrans',
    'handover-pause',
    'handover-broken',
    'handover-broken-lossy',
  ]);
  type Sample = { kind: string; up: number; down: number; faults: string[]; times?: object };
  const { clean, lossy } = document.samples as Record<'clean' | 'lossy', Sample[]>;
  t.strictSame(
    clean.map(({ kind }) => kind),
    ['handover', 'relayed', 'routed'],
  );
  for (const { kind, faults, up, down } of [...clean, ...lossy]) {
    t.strictSame(faults, [], `${kind}: every byte`);
    t.ok(up > 0 && down > 0, `${kind}: both ways`);
  }
  t.ok(clean[0]?.times, 'the transfer was stitched while it ran', { notes: document.notes });
});

t.test('rate', async (t) => {
  const document = await benchDocument(t, 'rate', '0.5');
  if (!document) return;
  checkFigures(t, document.figures, ['rate', 'rate-stitched']);
  type Run = { report: { completed: number; failed: number }; stitched: number; steps: object };
  const { runs, calibration } = document.samples as { runs: Run[]; calibration: Run[] };
  t.equal(runs.length, 1);
  t.ok(calibration.length > 1);
  for (const { report, stitched } of [...runs, ...calibration]) {
    t.ok(report.completed > 0);
    t.equal(report.failed, 0);
    t.ok(stitched <= report.completed);
  }
  t.not(Object.keys(runs[0]?.steps ?? {}).length, 0, 'the steps of some flows');
});

t.test('an interrupted one takes everything down', async (t) => {
  const bench = startBench(t, ['userspace', '--runs', '5', '--seconds', '5', '--json']);
  const ready = bench.line(/run 1\/5/).then(() => 'measuring');
  const first = await Promise.race([ready, bench.ended.then(({ code }) => code)]).catch(() => 'ended');
  if (first === 'measuring') bench.kill('SIGINT');
  const { code } = await bench.ended;
  checkNothingLeft(t, bench);
  if (code === NOT_AVAILABLE) return t.comment(bench.stderr);
  t.equal(code, 1);
  t.match(JSON.parse(bench.stdout), {
    error: { code: 'SUT_BENCH', message: 'the benchmark was interrupted' },
  });
});
