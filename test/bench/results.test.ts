import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type BenchDocument, DOCUMENT_FORMAT, figure } from '../../bench/support/document.js';
import { compactJson } from '../../bench/support/json.js';
import { BEGIN, END, withReadmeTable } from '../../bench/support/readme.js';
import { latestRuns, refreshReadme, saveRun } from '../../bench/support/results.js';

const machine = {
  kernel: '6.1',
  cpu: 'A CPU',
  cpus: 2,
  memoryMiB: 4096,
  node: 'v20',
  programs: { nft: '1.0' },
};

function document(bench: string, day: string, value: number): BenchDocument {
  return {
    bench,
    format: DOCUMENT_FORMAT,
    version: '0.0.0',
    startedAt: `${day}T10:00:00.000Z`,
    tookMs: 1,
    options: { runs: 5, seconds: 1, dataplane: 'auto' },
    dataplane: 'userspace',
    machine,
    figures: [
      figure(`${bench}-x`, `${bench} something`, 'ms', [value], { bound: 'at most', value: 5 }),
      figure(`${bench}-y`, 'without a target', '', [1]),
    ],
    notes: [],
    samples: { list: [1, 2.123456789] },
  };
}

const README = `# Title\n\n${BEGIN}\nold\n${END}\n\nmore\n`;

t.test('the table stands between the markers, in the order of the benchmarks', async (t) => {
  const runs = [document('rate', '2026-01-02', 7), document('latency', '2026-01-03', 4)].map((one) => ({
    date: one.startedAt.slice(0, 10),
    document: one,
  }));
  const text = withReadmeTable(README, runs);
  t.match(text, /^# Title\n\n<!-- bench/);
  t.match(text, /\nmore\n$/);
  t.notMatch(text, 'old');
  t.match(
    text,
    '| latency something | 4.00 ms | ≤ 5.00 ms | met |\n| rate something | 7.00 ms | ≤ 5.00 ms | missed |',
  );
  t.notMatch(text, 'without a target');
  t.match(text, '[plot](bench/results/2026-01-03-latency.svg)');
  t.equal(text.match(/A CPU/g)?.length, 1, 'one machine, told of once');
  t.equal(withReadmeTable(text, runs), text, 'doing it again changes nothing');
  t.equal(withReadmeTable('no markers', runs), 'no markers');
  t.equal(withReadmeTable(README, []), README);
});

t.test('a run is saved as document and plot, and the latest of each counts', async (t) => {
  const root = t.testdir({ 'README.md': README });
  const panels = [{ kind: 'bars', title: 'b', unit: '', bars: [] }] as const;
  const paths = saveRun(root, 'Title', document('rate', '2026-01-02', 7), panels);
  const names = ['bench/results/2026-01-02-rate.json', 'bench/results/2026-01-02-rate.svg', 'README.md'];
  t.strictSame(
    paths,
    names.map((name) => join(root, name)),
  );
  saveRun(root, 'Title', document('rate', '2026-02-01', 3), panels);
  const folder = join(root, 'bench/results');
  writeFileSync(join(folder, '2026-03-01-rate.json'), '{"bench":"rate","figures":"of another format"}');
  writeFileSync(join(folder, 'notes.txt'), '');
  const runs = latestRuns(folder);
  t.strictSame(
    runs.map(({ date }) => date),
    ['2026-02-01'],
  );
  t.strictSame(runs[0]?.document.samples, { list: [1, 2.123457] });
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  t.match(readme, 'rate something | 3.00 ms');
  t.strictSame(refreshReadme(root), [], 'nothing to change');
});

t.test('no results, no README: nothing happens', async (t) => {
  const root = t.testdir({});
  t.strictSame(latestRuns(join(root, 'bench/results')), []);
  t.strictSame(refreshReadme(root), []);
  mkdirSync(join(root, 'bench'));
});

t.test('compact JSON is JSON', async (t) => {
  const value = {
    a: [1, 2, [3, { b: null, c: 'x"y', d: true }]],
    e: {},
    f: [],
    g: undefined,
    h: { i: { j: [0.1 + 0.2] } },
  };
  const text = compactJson(value);
  t.strictSame(JSON.parse(text), { a: value.a, e: {}, f: [], h: { i: { j: [0.3] } } });
  t.match(text, '"j": [0.3]');
  t.equal(compactJson([1, 2]), '[1, 2]');
  t.equal(compactJson(Number.NaN), 'null');
});
