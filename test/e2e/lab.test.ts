/** The lab by itself: its contract of names and addresses, and that it comes and goes without a trace. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { labDown, labExec, labStatus, labUp } from '../../src/lab/lab.js';
import { LAB_HOSTS } from '../../src/lab/layout.js';
import { CLI } from '../../src/lab/stage.js';
import { cpuMask } from '../../src/lab/topology.js';
import { run } from '../../src/platform/process.js';
import { removeLeftovers } from '../support/lab/leftovers.js';
import { Rig } from '../support/lab/rig.js';

const ADDRESSES = {
  e: ['10.201.1.2', 'fd00:201:1::2'],
  s: [1, 2, 3].flatMap((net) => [`10.201.${net}.1`, `fd00:201:${net}::1`]),
  a: ['10.201.2.2', 'fd00:201:2::2'],
  b: ['10.201.3.2', 'fd00:201:3::2'],
} as const;

function namespaces(prefix: string): string[] {
  return readdirSync('/run/netns').filter((name) => name.startsWith(`${prefix}-`));
}

/** The kernel kills it when its parent dies; whoever inherits it may not collect it at once. */
async function dead(pid: number): Promise<void> {
  const state = (): string => {
    try {
      return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0] ?? '';
    } catch {
      return 'gone';
    }
  };
  const until = Date.now() + 5000;
  while (!['Z', 'X', 'gone'].includes(state())) {
    if (Date.now() > until) throw new Error(`process ${pid} still runs`);
    await sleep(20);
  }
}

t.test('hosts, names and addresses', async (t) => {
  const rig = await Rig.up(t);
  const { up, hosts } = await labStatus({ prefix: rig.prefix });
  t.ok(up);
  t.strictSame(
    hosts.map(({ host, addresses }) => [host, [...addresses].sort()]),
    LAB_HOSTS.map((host) => [host, [...ADDRESSES[host]].sort()]),
  );
  const links = JSON.parse(await rig.tool('s', ['ip', '-json', 'link', 'show'])) as { ifname: string }[];
  t.strictSame(links.map(({ ifname }) => ifname).sort(), ['lo', 'to-a', 'to-b', 'to-e']);
  for (const host of ['e', 'a', 'b'] as const) {
    const v4 = await rig.tool(host, ['ip', 'route', 'show', 'default']);
    const v6 = await rig.tool(host, ['ip', '-6', 'route', 'show', 'default']);
    t.match(v4, /^default via 10\.201\.[123]\.1 dev eth0/);
    t.match(v6, /^default via fd00:201:[123]::1 dev eth0/);
  }
  t.equal((await rig.tool('s', ['cat', '/proc/sys/net/ipv4/ip_forward'])).trim(), '1');
  t.equal((await rig.tool('s', ['cat', '/proc/sys/net/ipv6/conf/all/forwarding'])).trim(), '1');
});

t.test('up again makes it anew, down removes it', async (t) => {
  const rig = await Rig.up(t);
  const { prefix } = rig;
  await rig.tool('s', ['ip', 'link', 'del', 'to-b']);
  await run('ip', ['netns', 'del', rig.namespace('a')]);
  t.equal((await labStatus({ prefix })).up, false, 'half of it is gone');
  await labUp({ prefix });
  t.equal((await labStatus({ prefix })).up, true);
  await labUp({ prefix });
  t.equal((await labStatus({ prefix })).up, true, 'twice is as good as once');
  t.equal(await labDown({ prefix }), true);
  t.strictSame(namespaces(prefix), []);
  t.equal(await labDown({ prefix }), false, 'there was nothing left');
});

t.test('down kills nothing and leaves no interface to what still runs', async (t) => {
  const rig = await Rig.up(t);
  const sleeper = rig.stage.start('sleeper', 'a', ['sleep', '60']);
  await rig.stage.until(
    async () => (await labStatus({ prefix: rig.prefix })).hosts.some(({ processes }) => processes.length > 0),
    5000,
    () => 'the sleeper is not seen',
  );
  await labDown({ prefix: rig.prefix });
  t.ok(sleeper.running);
  const links = await run('nsenter', [`--net=/proc/${sleeper.pid}/ns/net`, 'ip', '-br', 'link']);
  t.notMatch(links.stdout, /eth0/);
});

t.test('exec: exit codes, and what is wrong', async (t) => {
  const { prefix } = await Rig.up(t);
  t.equal(await labExec('a', ['sh', '-c', 'exit 7'], { prefix }), 7);
  t.equal(await labExec('a', ['sh', '-c', 'kill -TERM $$'], { prefix }), 128 + 15);
  await t.rejects(labExec('x', ['true'], { prefix }), { code: 'SUT_USAGE' });
  await t.rejects(labExec('a', ['true'], { prefix: 'no-such-lab' }), { code: 'SUT_LAB' });
  await t.rejects(labUp({ prefix: 'Not A Name' }), { code: 'SUT_USAGE' });
  const env = { ...process.env, SUTURE_LAB: prefix };
  const cli = await run(
    process.execPath,
    [CLI, 'lab', 'exec', 'b', '--', 'ip', '-br', 'addr', 'show', 'eth0'],
    {
      env,
    },
  );
  t.match(cli.stdout, /10\.201\.3\.2\/24/);
});

t.test('what a killed test run left is removed by the next', async (t) => {
  const victim = fileURLToPath(new URL('../support/lab/victim.ts', import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, victim], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const line = await new Promise<string>((resolve) => {
    child.stdout.setEncoding('utf8').once('data', resolve);
  });
  const { prefix, folder, program } = JSON.parse(line) as { prefix: string; folder: string; program: number };
  t.equal(namespaces(prefix).length, LAB_HOSTS.length);
  await removeLeftovers();
  t.equal(namespaces(prefix).length, LAB_HOSTS.length, 'its owner runs: it is left alone');
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
  await removeLeftovers();
  t.strictSame(namespaces(prefix), []);
  t.notOk(existsSync(folder));
  await dead(program);
});

t.test('processor masks as sysfs writes them', async (t) => {
  t.equal(cpuMask(1), '1');
  t.equal(cpuMask(2), '3');
  t.equal(cpuMask(32), 'ffffffff');
  t.equal(cpuMask(36), 'f,ffffffff');
});
