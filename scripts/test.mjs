/**
 * `npm test [-- FILE…]`: the set-up, then all tests (or the given files). Unit tests run two at a time; then the
 * end-to-end ones, three at a time since most of them wait now and then, on the userspace and on the kernel data path;
 * then those that are better off without so many others. Each file has namespaces and folders of its own. The last
 * line is `N passed, N failed`; the exit code is 0 only when tap says so of the run.
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
  'interrupted',
  'lab',
  'one-host',
  'partition',
  'plain',
  'scale-out',
  'table',
  'table-failover',
];
/**
 * Two at a time when all others are over: a lease has to be prolonged in time for `standby`; what `lab` leaves behind on
 * purpose any other file that begins would remove.
 */
const LAST = ['lab', 'standby'];
/** By what they take, the longest first. */
const LONGEST = [
  'handovers',
  'bench',
  'compose',
  'table-failover',
  'unusual',
  'faults',
  'database',
  'discovery',
  'quiet',
  'endings',
  'pingpong',
  'teardown',
  'scale-out',
  'links',
  'path-mtu',
  'adopt',
  'third-party',
  'table',
  'policies',
  'rough',
  'demo',
  'standby',
];
const UNIT_JOBS = 2;
const END_TO_END_JOBS = 3;
const LAST_JOBS = 2;

function testFiles() {
  return readdirSync(join(root, 'test'), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.test\.(ts|mjs)$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

/** Kernel data path and userspace one, of those that have both; the longest first, so that none is left over at the end. */
function endToEndRuns(files) {
  const runs = files.flatMap((file) => {
    const name = nameOf(file);
    const paths = ON_ONE_PATH.includes(name) ? ['userspace'] : ['userspace', 'kernel'];
    return paths.map((dataplane) => runOf(file, dataplane));
  });
  const rank = ({ file }) => {
    const at = LONGEST.indexOf(nameOf(file));
    return at < 0 ? LONGEST.length : at;
  };
  return runs.sort((a, b) => rank(a) - rank(b));
}

function nameOf(file) {
  return basename(file, '.test.ts');
}

function runOf(file, dataplane = 'userspace') {
  const name = dataplane === 'userspace' ? file : `${file} (${dataplane})`;
  return { file, name, env: { SUTURE_TEST_DATAPLANE: dataplane } };
}

function groupsOf(files) {
  const endToEnd = files.filter((file) => END_TO_END.some((folder) => file.includes(folder)));
  const unit = files.filter((file) => !endToEnd.includes(file));
  const isLast = ({ file }) => LAST.includes(nameOf(file));
  const runs = endToEndRuns(endToEnd);
  return [
    { jobs: UNIT_JOBS, runs: unit.map((file) => runOf(file)) },
    { jobs: END_TO_END_JOBS, runs: runs.filter((run) => !isLast(run)) },
    { jobs: LAST_JOBS, runs: runs.filter(isLast) },
  ].filter(({ runs }) => runs.length > 0);
}

async function tap(groups, report) {
  const env = { ...process.env, NO_COLOR: '1', SUTURE_TEST_GROUPS: JSON.stringify(groups) };
  const code = await passOn(process.execPath, [join(root, 'scripts/run-tests.mjs')], {
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
  const report = new TapReport((text) => process.stdout.write(text));
  const code = stopSignal ? 1 : await tap(groupsOf(given.length > 0 ? given : testFiles()), report);
  // A run that tap itself calls failed is never reported as passed, whatever was read from its output.
  if (code !== 0 && report.failed === 0) report.failed = 1;
  if (report.skipped.length > 0) {
    process.stdout.write(`\nskipped:\n${report.skipped.map((line) => `  ${line}\n`).join('')}`);
  }
  if (report.failures.length > 0) {
    process.stdout.write(`\nfailed:\n${report.failures.map((line) => `  ${line}\n`).join('')}`);
  }
  process.stdout.write(`\n${report.sums}\n`);
  if (stopSignal) process.stderr.write(`test: stopped by ${stopSignal}\n`);
  return code || (stopSignal || report.failed > 0 || report.passed === 0 ? 1 : 0);
}

process.exitCode = await main(process.argv.slice(2));
