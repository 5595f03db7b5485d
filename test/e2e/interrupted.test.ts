/**
 * Programs of the fault harness that are told to stop take their labs down, in the middle of making one and in the middle
 * of a fault. Some 15 s.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { labDown, labStatus } from '../../src/lab/lab.js';
import { systemClock } from '../../src/platform/clock.js';
import { type Running, startProgram } from '../support/lab/started.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LOADER = join(ROOT, 'node_modules/@tapjs/typescript/dist/esm/import.mjs');
const POLL_MS = 20;
/** Longer than the test. */
const PAUSE_S = 600;

interface Harness extends Running {
  readonly prefix: string;
  /** For the folders of its rigs. */
  readonly temporary: string;
}

function startHarness(t: Test, name: 'cli' | 'soak', args: readonly string[]): Harness {
  // Not a folder of the test's: sockets are in it, whose paths are short.
  const temporary = mkdtempSync('/tmp/suture-int-');
  const program = join(ROOT, `test/support/faults/${name}.ts`);
  const env = { PATH: process.env.PATH, TMPDIR: temporary };
  const running = startProgram(process.execPath, [`--import=file://${LOADER}`, program, ...args], env);
  const prefix = `sut-${running.pid}-1`;
  t.teardown(async () => {
    running.kill('SIGKILL');
    await running.ended;
    await labDown({ prefix });
    rmSync(temporary, { recursive: true });
  });
  return Object.assign(running, { prefix, temporary });
}

/** Until it is so, or the program has ended. */
async function until(harness: Harness, what: string, is: () => boolean | Promise<boolean>): Promise<void> {
  let hasEnded = false;
  void harness.ended.then(() => {
    hasEnded = true;
  });
  while (!(await is())) {
    if (hasEnded) throw new Error(`ended before ${what}: ${harness.stdout}${harness.stderr}`);
    await systemClock.sleep(POLL_MS);
  }
}

function namespaces({ prefix }: Harness): string[] {
  return readdirSync('/run/netns').filter((name) => name.startsWith(`${prefix}-`));
}

async function hasStopped({ prefix }: Harness): Promise<boolean> {
  const { hosts } = await labStatus({ prefix });
  return hosts.flatMap(({ processes }) => processes).some((pid) => stateOf(pid) === 'T');
}

/** The third field of /proc/PID/stat, after the name in parentheses. */
function stateOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[0];
  } catch {
    return undefined;
  }
}

async function checkEnd(t: Test, harness: Harness): Promise<void> {
  const { code } = await harness.ended;
  t.equal(code, 1);
  t.match(harness.stdout, /^FAILED interrupted$/m);
  t.strictSame(namespaces(harness), [], 'no namespace is left');
  // Beside those, the compiler's cache.
  const folders = readdirSync(harness.temporary).filter((name) => name.startsWith('suture-e2e-'));
  t.strictSame(folders, [], 'no folder is left');
}

t.test('the failure matrix, while the switch is stopped', async (t) => {
  const only = ['--dataplane', 'kernel', '--part', 'switch', '--fault', 'stop'];
  const harness = startHarness(t, 'cli', [...only, '--runs', '1', '--at-once', '1', '--pause', `${PAUSE_S}`]);
  await until(harness, 'the switch was stopped', () => hasStopped(harness));
  harness.kill('SIGTERM');
  await checkEnd(t, harness);
});

t.test('the soak, while its lab is made', async (t) => {
  const harness = startHarness(t, 'soak', []);
  await until(harness, 'its lab was begun', () => namespaces(harness).length > 0);
  harness.kill('SIGHUP');
  await checkEnd(t, harness);
});
