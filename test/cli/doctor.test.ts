import t from 'tap';
import type { DoctorHost } from '../../src/cli/doctor/host.js';
import { thisHost } from '../../src/cli/doctor/host.js';
import { SutureError } from '../../src/platform/errors.js';
import { suture } from './context.js';

const FILES: Readonly<Record<string, string>> = {
  '/proc/self/status': 'Name:\tnode\nCapEff:\t000001ffffffffff\n',
  '/proc/self/uid_map': '         0          0 4294967295\n',
  '/proc/sys/net/ipv4/ip_forward': '1\n',
  '/proc/sys/net/ipv6/conf/all/forwarding': '1\n',
  '/proc/sys/net/ipv4/ip_local_port_range': '32768\t60999\n',
  '/proc/sys/net/ipv4/ip_local_reserved_ports': '\n',
  '/proc/sys/kernel/unprivileged_bpf_disabled': '2\n',
  '/proc/sys/net/core/bpf_jit_enable': '1\n',
};

interface Change {
  readonly files?: Readonly<Record<string, string | undefined>>;
  readonly host?: Partial<DoctorHost>;
  /** Commands that fail. */
  readonly failing?: RegExp;
}

function host({ files = {}, host = {}, failing }: Change = {}): DoctorHost {
  const all = { ...FILES, ...files };
  return {
    nodeVersion: '20.20.2',
    kernelRelease: '6.12.9-amd64',
    read: async (path) => all[path],
    exists: async (path) => path.endsWith('/dist/bpf/stitch.bpf.o') || all[path] !== undefined,
    isBpffs: (path) => path === '/sys/fs/bpf',
    libbpfVersion: () => 'v1.1',
    run: async (command, args) => {
      const line = [command, ...args].join(' ');
      if (failing?.test(line)) throw new SutureError('SUT_TOOL_FAILED', `\`${line}\` failed`);
      return { code: 0, stdout: `${command} 1.0\n`, stderr: '' };
    },
    load: async () => ({}),
    ...host,
  };
}

interface Report {
  readonly ok: boolean;
  readonly checks: readonly { name: string; status: string; found: string; mend?: string }[];
}

async function examine(change: Change, argv: string[] = []): Promise<Report & { code: number }> {
  const { code, json } = await suture(['doctor', '--json', ...argv], { host: host(change) });
  return { code, ...(json as Report) };
}

t.test('a host that has everything', async (t) => {
  const { code, ok, checks } = await examine({});
  t.equal(code, 0);
  t.equal(ok, true);
  t.strictSame(
    checks.filter(({ status }) => status !== 'ok'),
    [],
  );
  const { out } = await suture(['doctor'], { host: host() });
  t.match(out, /^OK +node +20\.20\.2$/m);
  t.notMatch(out, 'To mend');
});

const cases: [string, Change, string, RegExp, RegExp, number][] = [
  ['node', { host: { nodeVersion: '18.19.0' } }, 'fail', /18\.19\.0/, /Node\.js 20/, 1],
  ['kernel', { host: { kernelRelease: '5.10.0-28' } }, 'fail', /5\.10/, /5\.12 or later/, 1],
  ['kernel', { host: { kernelRelease: '4.19.0' } }, 'fail', /4\.19/, /5\.12 or later/, 1],
  [
    'capabilities',
    { files: { '/proc/self/status': 'CapEff:\t0000000000001000\n' } },
    'fail',
    /without CAP_NET_RAW$/,
    /run as root/,
    1,
  ],
  [
    'capabilities',
    { files: { '/proc/self/status': undefined } },
    'fail',
    /CAP_NET_ADMIN and CAP_NET_RAW/,
    /run as root/,
    1,
  ],
  [
    'cap (libpcap)',
    {
      host: {
        load: async () => {
          throw new Error('libpcap.so.0.8: cannot open\nstack');
        },
      },
    },
    'fail',
    /^does not load: libpcap\.so\.0\.8: cannot open$/,
    /npm rebuild cap/,
    1,
  ],
  [
    'raw-socket',
    {
      host: {
        load: async () => {
          throw new Error('no addon');
        },
      },
    },
    'fail',
    /no addon/,
    /npm rebuild raw-socket/,
    1,
  ],
  ['nft', { failing: /nft --version/ }, 'fail', /not found/, /apt-get install nftables/, 1],
  ['nft table owner', { failing: /nft --check/ }, 'fail', /refused/, /5\.12/, 1],
  ['nft table owner', { files: { '/proc/self/status': 'CapEff:\t0\n' } }, 'warn', /not tried/, /as root/, 1],
  ['iproute2', { failing: /ip -V/ }, 'fail', /not found/, /iproute2/, 1],
  [
    'IPv4 forwarding',
    { files: { '/proc/sys/net/ipv4/ip_forward': '0\n' } },
    'warn',
    /off/,
    /sysctl -w net\.ipv4\.ip_forward=1/,
    0,
  ],
  [
    'IPv6 forwarding',
    { files: { '/proc/sys/net/ipv6/conf/all/forwarding': undefined } },
    'warn',
    /not there/,
    /forwarding=1/,
    0,
  ],
  [
    'local ports',
    { files: { '/proc/sys/net/ipv4/ip_local_port_range': '1024 65535' } },
    'warn',
    /1024-65535/,
    /ip_local_port_range/,
    0,
  ],
  [
    'local ports',
    { files: { '/proc/sys/net/ipv4/ip_local_port_range': undefined } },
    'warn',
    /not known/,
    /ports/,
    0,
  ],
  // Without the kernel path the switch still runs, on the userspace one. test/kernel/probe.test.ts has each way.
  [
    'kernel path: kernel',
    { host: { kernelRelease: '6.1.0-18-amd64' } },
    'warn',
    /^6\.1\.0/,
    /Linux 6\.9 or later; until then packets take the userspace path/,
    0,
  ],
  ['kernel path: bpffs', { host: { isBpffs: () => false } }, 'warn', /^none/, /^mount -t bpf/, 0],
  [
    'kernel path: BPF JIT',
    { files: { '/proc/sys/net/core/bpf_jit_enable': '0\n' } },
    'warn',
    /^off/,
    /^sysctl -w net\.core\.bpf_jit_enable=1$/,
    0,
  ],
];

t.test('what is missing is told with its mend', async (t) => {
  for (const [name, change, status, found, mend, exit] of cases) {
    const { code, checks } = await examine(change);
    const check = checks.find((one) => one.name === name);
    t.match(check, { status, found, mend }, name);
    t.equal(code, exit);
  }
});

t.test('reserved ports make room', async (t) => {
  const { checks } = await examine({
    files: {
      '/proc/sys/net/ipv4/ip_local_port_range': '1024 65535',
      '/proc/sys/net/ipv4/ip_local_reserved_ports': '20000-29999',
    },
  });
  t.match(
    checks.find(({ name }) => name === 'local ports'),
    { status: 'ok' },
  );
});

t.test('--role leaves out what it does not need', async (t) => {
  const files = { '/proc/self/status': 'CapEff:\t0\n' };
  const shell = await examine({ files }, ['--role', 'shell']);
  t.equal(shell.code, 0);
  t.strictSame(
    shell.checks.map(({ name }) => name),
    ['node', 'local ports'],
  );
  t.equal((await examine({ files }, ['--role', 'switch'])).code, 1);
});

t.test('for people the mends are listed at the end', async (t) => {
  const files = { '/proc/sys/net/ipv4/ip_forward': '0\n' };
  const { out } = await suture(['doctor'], { host: host({ files }) });
  t.match(out, /^WARN +IPv4 forwarding +off$/m);
  t.match(out, /\nTo mend:\n {2}IPv4 forwarding: .*sysctl -w net\.ipv4\.ip_forward=1 \(for switch\)\n$/);
});

t.test('on this host', async (t) => {
  const { json } = await suture(['doctor', '--json'], { host: thisHost });
  t.match(json, { checks: [{ name: 'node', status: 'ok', found: process.versions.node }] });
});
