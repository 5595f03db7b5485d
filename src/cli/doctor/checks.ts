/**
 * The checks of `doctor`: what this host can do for a role, what is missing, and the mend. They look and
 * change nothing.
 */
import { KERNEL_CHECKS, type KernelCheck } from '../../dataplane/kernel/probe.js';
import { parseHostPorts } from '../../platform/host.js';
import type { DoctorHost } from './host.js';

/** Only `fail` keeps a role from running. */
export type CheckStatus = 'ok' | 'warn' | 'fail';
export type CheckRole = 'switch' | 'shell' | 'core' | 'lab';
export const CHECK_ROLES = ['switch', 'shell', 'core', 'lab'] as const;

export interface Finding {
  readonly status: CheckStatus;
  readonly found: string;
  /** What to do about it; absent when nothing is to be done. */
  readonly mend?: string;
}

export interface CheckResult extends Finding {
  readonly name: string;
  /** The roles that need it. */
  readonly roles: readonly CheckRole[];
}

interface Check {
  readonly name: string;
  readonly roles: readonly CheckRole[];
  readonly look: (host: DoctorHost) => Promise<Finding>;
}

const OLDEST_NODE = 20;
/** Tables that belong to a process (`flags owner`) came with Linux 5.12. */
const OLDEST_KERNEL = [5, 12] as const;
const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_NET_RAW: 13 } as const;
/** Fewer ports than this below, above or left out of the kernel's own are no range to reserve from. */
const FEWEST_FREE_PORTS = 1000;

const ok = (found: string): Finding => ({ status: 'ok', found });
const warn = (found: string, mend: string): Finding => ({ status: 'warn', found, mend });
const fail = (found: string, mend: string): Finding => ({ status: 'fail', found, mend });

async function node({ nodeVersion }: DoctorHost): Promise<Finding> {
  const major = Number.parseInt(nodeVersion, 10);
  return major >= OLDEST_NODE
    ? ok(nodeVersion)
    : fail(nodeVersion, `install Node.js ${OLDEST_NODE} or later`);
}

async function kernel({ kernelRelease }: DoctorHost): Promise<Finding> {
  const [major = 0, minor = 0] = kernelRelease.split('.').map((part) => Number.parseInt(part, 10));
  const [needMajor, needMinor] = OLDEST_KERNEL;
  if (major > needMajor || (major === needMajor && minor >= needMinor)) return ok(kernelRelease);
  return fail(kernelRelease, `the switch needs Linux ${OLDEST_KERNEL.join('.')} or later`);
}

async function missingCapabilities(host: DoctorHost): Promise<string[]> {
  const status = (await host.read('/proc/self/status')) ?? '';
  const held = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/im.exec(status)?.[1] ?? '0'}`);
  return Object.entries(CAPABILITIES).flatMap(([name, bit]) => ((held >> BigInt(bit)) & 1n ? [] : [name]));
}

async function capabilities(host: DoctorHost): Promise<Finding> {
  const missing = await missingCapabilities(host);
  if (missing.length === 0) return ok(Object.keys(CAPABILITIES).join(', '));
  return fail(
    `without ${missing.join(' and ')}`,
    'run as root, or give the service AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN',
  );
}

function addon(module: 'cap' | 'raw-socket', needs: string): Check['look'] {
  return async (host) => {
    try {
      await host.load(module);
      return ok('loads');
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return fail(`does not load: ${why.split('\n')[0]}`, `install ${needs}, then \`npm rebuild ${module}\``);
    }
  };
}

/** Whether a program is there, by its version. */
function tool(command: string, flag: string, debianPackage: string): Check['look'] {
  return async (host) => {
    try {
      const { stdout, stderr } = await host.run(command, [flag]);
      return ok((stdout.trim() || stderr.trim()).split('\n')[0] ?? '');
    } catch {
      return fail('not found', `install it: apt-get install ${debianPackage}`);
    }
  };
}

async function nftOwner(host: DoctorHost): Promise<Finding> {
  if ((await missingCapabilities(host)).includes('CAP_NET_ADMIN')) {
    return warn('not tried without CAP_NET_ADMIN', 'run doctor as root');
  }
  try {
    const input = 'table inet suture_doctor {\n  flags owner;\n}\n';
    await host.run('nft', ['--check', '--file', '-'], { input });
    return ok('supported');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return fail(
      `refused: ${why.split('\n')[0]}`,
      'nft 1.0 and a kernel with nf_tables (5.12 or later) are needed',
    );
  }
}

function forwarding(family: string, path: string): Check['look'] {
  return async (host) => {
    const value = (await host.read(`/proc/sys/net/${path}`))?.trim();
    if (value === '1') return ok('on');
    const found = value === undefined ? 'not there' : 'off';
    const sysctl = `net.${path.replaceAll('/', '.')}`;
    return warn(found, `a switch forwards ${family}, so: sysctl -w ${sysctl}=1`);
  };
}

async function localPorts(host: DoctorHost): Promise<Finding> {
  const base = '/proc/sys/net/ipv4';
  const range = (await host.read(`${base}/ip_local_port_range`)) ?? '';
  const ports = parseHostPorts(range, (await host.read(`${base}/ip_local_reserved_ports`)) ?? '');
  if (!ports)
    return warn('not known', 'choose `ports` of a shell outside what the kernel hands out by itself');
  const { ephemeral, reserved } = ports;
  const left = reserved.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  const below = ephemeral.from - 1024;
  const above = 65535 - ephemeral.to;
  const found = `the kernel hands out ${ephemeral.from}-${ephemeral.to}`;
  if (Math.max(left, below, above) >= FEWEST_FREE_PORTS) return ok(found);
  const mend = 'a shell needs a range outside it: sysctl -w net.ipv4.ip_local_port_range="32768 60999"';
  return warn(found, mend);
}

/** What the kernel data path needs is never more than a warning: without it the userspace path carries packets. */
function kernelPath({ name, look }: KernelCheck): Check {
  const check = async (host: DoctorHost): Promise<Finding> => {
    const { ok: fine, found, mend } = await look(host);
    if (mend === undefined) return ok(found);
    return warn(found, fine ? mend : `${mend}; until then packets take the userspace path`);
  };
  return { name: `kernel path: ${name}`, roles: ['switch'], look: check };
}

const CHECKS: readonly Check[] = [
  { name: 'node', roles: CHECK_ROLES, look: node },
  { name: 'kernel', roles: ['switch', 'lab'], look: kernel },
  { name: 'capabilities', roles: ['switch', 'lab'], look: capabilities },
  { name: 'cap (libpcap)', roles: ['switch', 'lab'], look: addon('cap', 'libpcap-dev and a C++ compiler') },
  { name: 'raw-socket', roles: ['switch', 'lab'], look: addon('raw-socket', 'a C++ compiler') },
  { name: 'nft', roles: ['switch', 'lab'], look: tool('nft', '--version', 'nftables') },
  { name: 'nft table owner', roles: ['switch', 'lab'], look: nftOwner },
  { name: 'iproute2', roles: ['switch', 'lab'], look: tool('ip', '-V', 'iproute2') },
  { name: 'IPv4 forwarding', roles: ['switch'], look: forwarding('IPv4', 'ipv4/ip_forward') },
  { name: 'IPv6 forwarding', roles: ['switch'], look: forwarding('IPv6', 'ipv6/conf/all/forwarding') },
  { name: 'local ports', roles: ['shell'], look: localPorts },
  ...KERNEL_CHECKS.map(kernelPath),
];

/** All checks, or those of one role. */
export async function examine(host: DoctorHost, role?: CheckRole): Promise<CheckResult[]> {
  const wanted = CHECKS.filter(({ roles }) => role === undefined || roles.includes(role));
  return Promise.all(wanted.map(async ({ name, roles, look }) => ({ name, roles, ...(await look(host)) })));
}
