/** Captures on an interface that goes down and comes up again, and captures that are closed. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const CAPTURING = fileURLToPath(new URL('capturing.ts', import.meta.url));
const CLOSED = fileURLToPath(new URL('captures-closed.ts', import.meta.url));

t.test('a capture outlives its interface being down', async (t) => {
  const argv = ['--net', process.execPath, ...process.execArgv, CAPTURING];
  const { status, signal, stdout, stderr } = spawnSync('unshare', argv, {
    encoding: 'utf8',
    timeout: 60_000,
  });
  t.same({ status, signal }, { status: 0, signal: null }, 'it ends by itself', { stderr });
  const [before = '', after = ''] = stdout.split('down\n');
  t.match(before, /^(packet\n)+$/, 'packets before');
  t.match(after, /^(packet\n)+$/, 'and after');
});

t.test('closed captures survive the collection of garbage', async (t) => {
  const argv = ['--net', process.execPath, ...process.execArgv, '--max-semi-space-size=1', CLOSED];
  const { status, signal, stdout, stderr } = spawnSync('unshare', argv, {
    encoding: 'utf8',
    timeout: 60_000,
  });
  t.same({ status, signal, stdout }, { status: 0, signal: null, stdout: 'alive\n' }, 'it ends by itself', {
    stderr,
  });
});
