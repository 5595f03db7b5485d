/** `suture demo` as people run it: its JSON document, and that nothing stays behind, after Ctrl-C neither. */
import { existsSync, readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { CLI } from '../../src/lab/stage.js';
import { Folder, removeLeftovers } from '../support/lab/leftovers.js';
import { type Running, startProgram } from '../support/lab/started.js';

const STATES = ['watched', 'relayed', 'clamping', 'cutting', 'stitched', 'closing', 'closed'];

interface Document {
  readonly ok: boolean;
  readonly connections: readonly {
    readonly name: string;
    readonly states: readonly { readonly state: string; readonly at: string }[];
    readonly bytesUp: number;
    readonly bytesDown: number;
    readonly hashes: { readonly sent: object; readonly received: object; readonly equal: boolean };
    readonly toShellOnceStitched: { readonly bytes: number; readonly packets: number };
    readonly problems: readonly string[];
  }[];
}

let demos = 0;

async function startDemo(t: Test, args: readonly string[]): Promise<{ demo: Running; prefix: string }> {
  await removeLeftovers();
  demos += 1;
  const folder = new Folder(`sutd-${process.pid}-${demos}`);
  const { prefix } = folder;
  const env = { PATH: process.env.PATH, SUTURE_LAB: prefix };
  const demo = startProgram(process.execPath, [CLI, 'demo', ...args], env);
  folder.note(demo.pid);
  t.teardown(async () => {
    await demo.stop();
    folder.remove();
  });
  return { demo, prefix };
}

function checkNothingLeft(t: Test, prefix: string): void {
  t.strictSame(
    readdirSync('/run/netns').filter((name) => name.startsWith(prefix)),
    [],
    'no namespace is left',
  );
  t.notOk(existsSync(`/run/suture/${prefix}.sock`), 'no socket is left');
  t.notOk(existsSync(`/run/suture/demo-${prefix}`), 'no folder is left');
}

t.test('the JSON document', async (t) => {
  const { demo, prefix } = await startDemo(t, ['--json']);
  const { code } = await demo.ended;
  t.equal(code, 0, demo.stderr);
  const { ok, connections } = JSON.parse(demo.stdout) as Document;
  t.equal(ok, true);
  t.ok(connections.length >= 5);
  for (const one of connections) {
    t.strictSame(one.problems, [], one.name);
    const states = one.states.map(({ state }) => state);
    t.strictSame(
      states,
      STATES.filter((state) => states.includes(state)),
      `${one.name}: states in order`,
    );
    for (const state of ['relayed', 'stitched', 'closed'])
      t.ok(states.includes(state), `${one.name}: ${state}`);
    for (const { at } of one.states) t.ok(Date.parse(at) > 0);
    t.ok(one.bytesUp > 0 && one.bytesDown > 0, `${one.name}: bytes each way`);
    t.equal(one.hashes.equal, true);
    t.strictSame(one.hashes.sent, one.hashes.received);
    t.strictSame(one.toShellOnceStitched, { bytes: 0, packets: 0 }, `${one.name}: nothing reached A`);
  }
  checkNothingLeft(t, prefix);
});

t.test('Ctrl-C in the middle takes everything down', async (t) => {
  const { demo, prefix } = await startDemo(t, []);
  await demo.line(/stitched after/);
  demo.kill('SIGINT');
  demo.kill('SIGINT');
  const { code } = await demo.ended;
  t.equal(code, 1);
  t.match(demo.stderr, /the demo was interrupted.*SUT_DEMO/);
  checkNothingLeft(t, prefix);
});

t.test('a lab that is in use is left alone', async (t) => {
  const { Rig } = await import('../support/lab/rig.js');
  const rig = await Rig.up(t);
  const sleeper = rig.stage.start('sleeper', 'b', ['sleep', '60']);
  const { code, stderr } = await rig.sutureOutside(['demo']);
  t.equal(code, 1);
  t.match(stderr, /the lab is in use.*SUT_DEMO/);
  t.ok(sleeper.running);
});
