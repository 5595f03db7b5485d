/**
 * `npm test [-- FILE…]`: the set-up, then all tests (or the given files). Unit tests run two at a time; the
 * end-to-end ones, which share the machine's two cores with a whole lab, run one after the other, on the
 * userspace data path and then on the kernel one. The last
 * line is `N passed, N failed`; the exit code is 0 only when tap says so of every run.
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { passOn, stopSignal } from './pass-on.mjs';
import { root, setup } from './setup.mjs';
import { TapReport } from './tap-report.mjs';

const END_TO_END = ['test/e2e/', 'test/compose/compose.'];
/** End-to-end tests that have one data path, or none. */
const ON_ONE_PATH = [
  'adopt',
  'bench',
  'compose',
  'demo',
  'lab',
  'one-host',
  'partition',
  'plain',
  'scale-out',
  'table',
  'table-failover',
];

function testFiles() {
  return readdirSync(join(root, 'test'), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.test\.(ts|mjs)$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

async function tap(files, jobs, report, dataplane = 'userspace') {
  if (files.length === 0 || stopSignal) return 0;
  const args = [join(root, 'node_modules/.bin/tap'), 'run', '--reporter=tap', `--jobs=${jobs}`, ...files];
  const env = { ...process.env, NO_COLOR: '1', SUTURE_TEST_DATAPLANE: dataplane };
  const code = await passOn(process.execPath, args, {
    cwd: root,
    env,
    onOutput: (text) => report.push(text),
  });
  report.end();
  return code;
}

async function main(given) {
  const unknown = given.filter((file) => !existsSync(join(root, file)) && !existsSync(file));
  if (unknown.length > 0) {
    process.stderr.write(`test: no such file: ${unknown.join(', ')}\n`);
    return 2;
  }
  if (!setup({ tests: true })) return 1;
  const files = given.length > 0 ? given : testFiles();
  const endToEnd = files.filter((file) => END_TO_END.some((folder) => file.includes(folder)));
  const unit = files.filter((file) => !endToEnd.includes(file));
  const report = new TapReport((text) => process.stdout.write(text));
  const onBoth = endToEnd.filter((file) => !ON_ONE_PATH.includes(basename(file, '.test.ts')));
  const codes = [await tap(unit, 2, report), await tap(endToEnd, 1, report)];
  if (onBoth.length > 0) {
    process.stdout.write('\nend to end on the kernel data path\n');
    codes.push(await tap(onBoth, 1, report, 'kernel'));
  }
  const failedRun = codes.find((code) => code !== 0);
  // A run that tap itself calls failed is never reported as passed, whatever was read from its output.
  if (failedRun !== undefined && report.failed === 0) report.failed = 1;
  if (report.skipped.length > 0) {
    process.stdout.write(`\nskipped:\n${report.skipped.map((line) => `  ${line}\n`).join('')}`);
  }
  if (report.failures.length > 0) {
    process.stdout.write(`\nfailed:\n${report.failures.map((line) => `  ${line}\n`).join('')}`);
  }
  process.stdout.write(`\n${report.sums}\n`);
  if (stopSignal) process.stderr.write(`test: stopped by ${stopSignal}\n`);
  return failedRun ?? (stopSignal || report.failed > 0 || report.passed === 0 ? 1 : 0);
}

process.exitCode = await main(process.argv.slice(2));
