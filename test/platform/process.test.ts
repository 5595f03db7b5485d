import t from 'tap';
import { run } from '../../src/platform/process.js';

const node = (script: string, ...more: string[]): [string, string[]] => [
  process.execPath,
  ['-e', script, ...more],
];

t.test('what it printed and its exit code', async (t) => {
  const script = 'process.stdin.pipe(process.stdout); console.error(process.argv[1], process.env.COLOUR)';
  const [command, args] = node(script, 'a b; $(c)');
  t.strictSame(await run(command, args, { input: 'in', env: { COLOUR: 'red' } }), {
    code: 0,
    stdout: 'in',
    stderr: 'a b; $(c) red\n',
  });
  t.match(await run(process.execPath, ['-p', 'process.cwd()'], { cwd: '/' }), { stdout: '/\n' });
});

t.test('a failure names the command and what it said', async (t) => {
  const [command, args] = node('console.error("no good"); process.exit(3)');
  await t.rejects(run(command, args), {
    code: 'SUT_TOOL_FAILED',
    message: /`.*node -e .*` gave exit code 3: no good$/,
  });
  t.match(await run(command, args, { okCodes: [0, 3] }), { code: 3, stderr: 'no good\n' });
  await t.rejects(run(...node('process.exit(1)')), { message: /it printed nothing/ });
});

t.test('a program that is not there', async (t) => {
  await t.rejects(run('suture-no-such-tool', ['x']), {
    code: 'SUT_TOOL_MISSING',
    message: /`suture-no-such-tool` was not found; it is needed for `suture-no-such-tool x`/,
  });
  await t.rejects(run('/', []), { code: 'SUT_TOOL_FAILED', message: /did not run/ });
});

t.test('one that does not end is ended', async (t) => {
  const forever = node('setInterval(() => {}, 1000)');
  await t.rejects(run(...forever, { timeoutMs: 50 }), {
    code: 'SUT_TOOL_FAILED',
    message: /took longer than 50 ms/,
  });
  await t.rejects(run(...forever, { signal: AbortSignal.abort() }), { code: 'SUT_TOOL_FAILED' });
});

t.test('input that nobody reads is no failure', async (t) => {
  t.match(await run(...node(''), { input: 'x'.repeat(1_000_000) }), { code: 0 });
});
