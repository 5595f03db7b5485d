import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { inNamespace } from '../../../src/lab/command.js';
import { run } from '../../../src/platform/process.js';
import { compile } from './support.js';
import type { Saw } from './tc-steps.js';

const STEPS = fileURLToPath(new URL('tc-steps.ts', import.meta.url));

async function namespace(t: Test): Promise<string> {
  const name = `sut-${process.pid}-tc`;
  await run('ip', ['netns', 'add', name]);
  t.teardown(() => run('ip', ['netns', 'delete', name]));
  const ip = (...args: string[]): Promise<unknown> => run('ip', ['-netns', name, ...args]);
  await ip('link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right');
  await ip('address', 'add', '10.209.0.1/24', 'dev', 'left');
  await ip('link', 'set', 'left', 'up');
  await ip('link', 'set', 'right', 'up');
  return name;
}

t.test('programs at tc ingress: attach, replace, query, detach', async (t) => {
  const object = await compile(t, 'ground');
  const node = [process.execPath, ...process.execArgv, STEPS, object];
  const [program = '', ...args] = inNamespace(await namespace(t), node);
  const { stdout } = await run(program, args, { timeoutMs: 60_000 });
  const { ids, steps }: Saw = JSON.parse(stdout);
  const place = { handle: 0x5375, priority: 10 };
  const other = { handle: 1, priority: 20 };
  t.match(steps, {
    'attach to no interface': {
      code: 'SUT_DATAPLANE_UNAVAILABLE',
      message: /^interface 99999: make the tc hook failed: ENODEV/,
    },
    'attach at no place': {
      code: 'SUT_INTERNAL',
      message: 'handle 0, priority 0 is no place at a tc hook',
    },
  });
  const { 'attach to no interface': _1, 'attach at no place': _2, ...plain } = steps;
  t.strictSame(plain, {
    'query without a hook': null,
    'detach without a hook': false,
    'remove no hook': false,
    'attach makes the hook': true,
    'query judge': { ...place, progId: ids.judge },
    'query another place': null,
    'detach another place': false,
    'a packet is seen': true,
    'attach in its place': false,
    'query pass': { ...place, progId: ids.pass },
    'attach beside it': false,
    'query beside it': { ...other, progId: ids.judge },
    detach: true,
    'query after it': null,
    'detach again': false,
    'the hook is in use': false,
    'the other is still there': { ...other, progId: ids.judge },
    'and still runs': true,
    'detach the other': true,
    'the hook is not in use': true,
    'qdiscs at the end': false,
    'query no interface': null,
    'detach no interface': false,
  });
});
