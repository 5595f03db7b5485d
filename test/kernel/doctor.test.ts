/** `suture doctor` on this host, and on this host with something taken away: each lack by itself, with its mend. */
import { realpathSync } from 'node:fs';
import t from 'tap';
import { BPFFS, mountBpffs } from '../../src/dataplane/kernel/libbpf.js';
import { CLI } from '../../src/lab/stage.js';
import { run } from '../../src/platform/process.js';

interface Check {
  readonly name: string;
  readonly status: string;
  readonly found: string;
  readonly mend?: string;
}

const PREFIX = 'kernel path: ';

/** What doctor says of the kernel path, beside whether its program is built, when it is run by `wrapper`. */
async function kernelPath(...wrapper: string[]): Promise<{ code: number; missing: Check[]; all: string[] }> {
  const argv = [...wrapper, process.execPath, CLI, 'doctor', '--json', '--role', 'switch'];
  const { code, stdout } = await run(argv[0] ?? '', argv.slice(1), { okCodes: [0, 1], timeoutMs: 60_000 });
  const { checks }: { checks: Check[] } = JSON.parse(stdout);
  const ours = checks.filter(({ name }) => name.startsWith(PREFIX) && name !== `${PREFIX}program`);
  const missing = ours.filter(({ status }) => status !== 'ok');
  return { code, missing, all: ours.map(({ name }) => name.slice(PREFIX.length)) };
}

/** Runs a program in a mount namespace of its own, after `script` changed what it likes there. */
function inMounts(script: string): string[] {
  return ['unshare', '--mount', 'sh', '-c', `${script}; exec "$@"`, 'sh'];
}

t.before(mountBpffs);

t.test('with everything', async (t) => {
  const { code, missing, all } = await kernelPath();
  t.equal(code, 0);
  t.strictSame(all, ['kernel', 'libbpf.so.1', 'capabilities', 'bpffs', 'BPF JIT']);
  t.strictSame(missing, []);
});

t.test('without CAP_BPF, when CAP_SYS_ADMIN does not stand in for it', async (t) => {
  const { code, missing } = await kernelPath('setpriv', '--bounding-set=-bpf,-sys_admin');
  t.equal(code, 0, 'the switch can run all the same');
  t.equal(missing.length, 1);
  t.match(missing[0], {
    name: `${PREFIX}capabilities`,
    status: 'warn',
    found: 'without CAP_BPF',
    mend: /run as root.*; until then packets take the userspace path$/,
  });
  t.strictSame((await kernelPath('setpriv', '--bounding-set=-bpf')).missing, []);
});

t.test('without a BPF filesystem', async (t) => {
  const wrapper = inMounts(`while umount ${BPFFS} 2>/dev/null; do :; done`);
  const { code, missing } = await kernelPath(...wrapper);
  t.equal(code, 0);
  t.equal(missing.length, 1);
  t.match(missing[0], {
    name: `${PREFIX}bpffs`,
    status: 'warn',
    found: `none at ${BPFFS}`,
    mend: /^mount -t bpf bpf \/sys\/fs\/bpf; until then/,
  });
});

t.test('without libbpf', async (t) => {
  const { stdout } = await run('ldconfig', ['-p']);
  const library = realpathSync(/libbpf\.so\.1 .*=> (\S+)/.exec(stdout)?.[1] ?? '');
  // Its exit code is left out: Debian's `ip` needs the library too, and without `ip` there is no switch.
  const { missing } = await kernelPath(...inMounts(`mount --bind /dev/null ${library}`));
  t.equal(missing.length, 1);
  t.match(missing[0], {
    name: `${PREFIX}libbpf.so.1`,
    status: 'warn',
    found: /^does not load: libbpf\.so\.1: /,
    mend: /^install libbpf1 \(apt-get install libbpf1\); until then/,
  });
});

t.test('in a user namespace', async (t) => {
  const { missing } = await kernelPath('unshare', '--user', '--map-root-user');
  t.match(missing, [{ name: `${PREFIX}capabilities`, found: 'those of a user namespace' }]);
});
