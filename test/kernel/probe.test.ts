import t from 'tap';
import { BPFFS, isBpffs } from '../../src/dataplane/kernel/libbpf.js';
import { type KernelFacts, probeKernelPath, thisKernel } from '../../src/dataplane/kernel/probe.js';
import { bindLibrary } from '../../src/platform/ffi.js';

const FILES: Readonly<Record<string, string>> = {
  '/proc/self/status': 'Name:\tnode\nCapEff:\t000001ffffffffff\n',
  '/proc/self/uid_map': '         0          0 4294967295\n',
  '/proc/sys/kernel/unprivileged_bpf_disabled': '2\n',
  '/proc/sys/net/core/bpf_jit_enable': '1\n',
};

interface Change {
  readonly files?: Readonly<Record<string, string | undefined>>;
  readonly facts?: Partial<KernelFacts>;
  readonly noObject?: boolean;
}

function facts({ files = {}, facts = {}, noObject = false }: Change = {}): KernelFacts {
  const all = { ...FILES, ...files };
  return {
    kernelRelease: '6.12.9-amd64',
    read: async (path) => all[path],
    exists: async (path) => (path.endsWith('.bpf.o') ? !noObject : all[path] !== undefined),
    isBpffs: (path) => path === BPFFS,
    libbpfVersion: () => 'v1.1',
    ...facts,
  };
}

/** CapEff with these bits taken out of all. */
function without(...bits: number[]): Change {
  const held = bits.reduce((mask, bit) => mask & ~(1n << BigInt(bit)), 0x1ffffffffffn);
  return { files: { '/proc/self/status': `CapEff:\t${held.toString(16).padStart(16, '0')}\n` } };
}

t.test('a host that has everything', async (t) => {
  const { ok, items } = await probeKernelPath(facts());
  t.equal(ok, true);
  t.strictSame(
    items.filter(({ ok, mend }) => !ok || mend !== undefined),
    [],
  );
});

const ROOT = /run as root/;
const cases: [string, Change, found: RegExp, mend: RegExp][] = [
  ['kernel', { facts: { kernelRelease: '6.8.12-generic' } }, /^6\.8\.12/, /Linux 6\.9/],
  ['kernel', { facts: { kernelRelease: '5.15.0' } }, /^5\.15/, /Linux 6\.9/],
  [
    'kernel',
    { files: { '/proc/sys/kernel/unprivileged_bpf_disabled': undefined } },
    /without bpf\(2\)/,
    /CONFIG_BPF_SYSCALL/,
  ],
  [
    'libbpf.so.1',
    {
      facts: {
        libbpfVersion: () => {
          throw new Error('libbpf.so.1: cannot open shared object file\nmore');
        },
      },
    },
    /^does not load: libbpf\.so\.1: cannot open shared object file$/,
    /install libbpf1/,
  ],
  ['capabilities', without(39, 21), /^without CAP_BPF$/, ROOT],
  ['capabilities', without(38, 21), /^without CAP_PERFMON$/, ROOT],
  ['capabilities', without(12), /^without CAP_NET_ADMIN$/, ROOT],
  ['capabilities', without(12, 21, 38, 39), /^without CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON$/, ROOT],
  ['capabilities', { files: { '/proc/self/status': undefined } }, /^without CAP_NET_ADMIN/, ROOT],
  [
    'capabilities',
    { files: { '/proc/self/uid_map': '0 1000 1\n' } },
    /^those of a user namespace$/,
    /outside of the user namespace/,
  ],
  [
    'bpffs',
    { facts: { isBpffs: () => false } },
    /^none at \/sys\/fs\/bpf$/,
    /^mount -t bpf bpf \/sys\/fs\/bpf$/,
  ],
  ['program', { noObject: true }, /^no .*\/dist\/bpf\/stitch\.bpf\.o$/, /^npm run setup$/],
];

t.test('what is missing is told with its mend, and nothing else is', async (t) => {
  for (const [name, change, found, mend] of cases) {
    const result = await probeKernelPath(facts(change));
    t.equal(result.ok, false);
    const missing = result.items.filter(({ ok }) => !ok);
    t.equal(missing.length, 1);
    t.match(missing[0], { name, found, mend });
  }
});

t.test('CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON', async (t) => {
  const { ok, items } = await probeKernelPath(facts(without(38, 39)));
  t.equal(ok, true);
  t.match(items, [{}, {}, { name: 'capabilities', found: 'CAP_SYS_ADMIN' }]);
});

t.test('the path runs without a JIT, and it is said', async (t) => {
  const files = { '/proc/sys/net/core/bpf_jit_enable': '0\n' };
  const { ok, items } = await probeKernelPath(facts({ files }));
  t.equal(ok, true);
  t.match(
    items.filter(({ mend }) => mend !== undefined),
    [{ name: 'BPF JIT', ok: true, mend: /sysctl/ }],
  );
  const hidden = await probeKernelPath(facts({ files: { '/proc/sys/net/core/bpf_jit_enable': undefined } }));
  t.match(hidden.items[4], { name: 'BPF JIT', ok: true, found: 'not shown here', mend: undefined });
});

t.test('the facts of this host', async (t) => {
  t.match(thisKernel.libbpfVersion(), /^v1\.\d/);
  t.equal(thisKernel.isBpffs('/proc'), false);
  t.equal(thisKernel.isBpffs('/nowhere'), false);
  t.equal(thisKernel.isBpffs(BPFFS), isBpffs(BPFFS));
  t.equal(await thisKernel.exists('/proc/self/status'), true);
  t.equal(await thisKernel.exists('/nowhere'), false);
  t.match(await thisKernel.read('/proc/self/status'), /CapEff/);
});

t.test('a library or a function that is not there is an error that says what to install', async (t) => {
  const bind = (file: string, name: string) => (): unknown =>
    bindLibrary(file, { [name]: `int ${name}(void)` }, 'install libbpf1');
  t.throws(bind('libnothing.so.1', 'f'), {
    code: 'SUT_DATAPLANE_UNAVAILABLE',
    message: /^libnothing\.so\.1: .*; install libbpf1$/,
  });
  t.throws(bind('libbpf.so.1', 'bpf_no_such_thing'), {
    code: 'SUT_DATAPLANE_UNAVAILABLE',
    message: /^libbpf\.so\.1: .*bpf_no_such_thing.*; install libbpf1$/,
  });
  const libc = bindLibrary<{ getpid(): number }>('libc.so.6', { getpid: 'int getpid(void)' }, '');
  t.equal(libc.getpid(), process.pid);
});
