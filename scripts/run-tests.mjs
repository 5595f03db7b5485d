/**
 * Runs test files by tap's own `t.spawn` and writes their TAP to standard output; the exit code is tap's. `tap run` does
 * the same, but takes files by their names' order and gives all of them one environment.
 *
 * SUTURE_TEST_GROUPS is JSON: groups, one after the other, each `{ jobs, runs: [{ file, name, env }] }`, of which up to `jobs`
 * files run at a time, started in their order.
 */
import { resolve } from 'node:path';
import t from 'tap';
import { root } from './setup.mjs';

const NODE_ARGS = [`--import=${new URL('./typescript-import.mjs', import.meta.url)}`, '--enable-source-maps'];

/** What tap would end by itself: of one test inside a file, and of a file. */
const TIMEOUT_SECONDS = 600;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** A signal ends what runs and what would be started still; tap then counts it as failed. */
function passSignals() {
  const running = new Set();
  let ending;
  t.on('spawn', (subtest) =>
    subtest.on('process', (child) => {
      if (ending) child.kill(ending);
      running.add(child);
      child.once('exit', () => running.delete(child));
    }),
  );
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      ending = signal;
      for (const child of running) child.kill(signal);
    });
  }
}

const groups = JSON.parse(process.env.SUTURE_TEST_GROUPS);
// Not for the tests.
delete process.env.SUTURE_TEST_GROUPS;

t.setTimeout(0);
passSignals();
for (const { jobs, runs } of groups) {
  t.jobs = jobs;
  const spawned = runs.map(({ file, name, env }) =>
    t.spawn(process.execPath, [...NODE_ARGS, resolve(root, file)], {
      name,
      cwd: root,
      env: { ...process.env, TAP_TIMEOUT: String(TIMEOUT_SECONDS), ...env },
      timeout: TIMEOUT_SECONDS * 1000,
      buffered: true,
      at: null,
      stack: '',
    }),
  );
  await Promise.all(spawned);
}
