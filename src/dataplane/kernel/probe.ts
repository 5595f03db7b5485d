/**
 * Whether the kernel data path can run here, and for what can't be, its mend. Looks and changes nothing; whether
 * the verifier takes the program shows when it is loaded.
 */
import { access, readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { BPFFS, BPFFS_MEND, isBpffs } from './bpffs.js';
import { LIBBPF_MEND, libbpf } from './native.js';
import {
  CAP_BPF,
  CAP_NET_ADMIN,
  CAP_PERFMON,
  CAP_SYS_ADMIN,
  isKernelAtLeast,
  OBJECT_PATH,
  OLDEST_KERNEL,
} from './requirements.js';

/** The facts that are looked at, so that tests can give any host. */
export interface KernelFacts {
  readonly kernelRelease: string;
  /** The text of a file, undefined when it can not be read. */
  read(path: string): Promise<string | undefined>;
  exists(path: string): Promise<boolean>;
  isBpffs(path: string): boolean;
  /** Loads libbpf and gives its version; throws when it can not be loaded. */
  libbpfVersion(): string;
}

export const thisKernel: KernelFacts = {
  kernelRelease: release(),
  read: (path) => readFile(path, 'latin1').catch(() => undefined),
  exists: (path) =>
    access(path).then(
      () => true,
      () => false,
    ),
  isBpffs,
  libbpfVersion: () => libbpf().libbpf_version_string(),
};

export interface ProbeFinding {
  readonly ok: boolean;
  readonly found: string;
  /** What to do about it; when `ok`, what would be better still. */
  readonly mend?: string;
}

export interface ProbeItem extends ProbeFinding {
  readonly name: string;
}

export interface ProbeResult {
  /** Whether all that is needed is there. */
  readonly ok: boolean;
  readonly items: readonly ProbeItem[];
}

export interface KernelCheck {
  readonly name: string;
  readonly look: (facts: KernelFacts) => Promise<ProbeFinding>;
}

const good = (found: string): ProbeFinding => ({ ok: true, found });
const bad = (found: string, mend: string): ProbeFinding => ({ ok: false, found, mend });

async function kernel({ kernelRelease, exists }: KernelFacts): Promise<ProbeFinding> {
  if (!isKernelAtLeast(kernelRelease, OLDEST_KERNEL)) {
    return bad(kernelRelease, `it needs Linux ${OLDEST_KERNEL.join('.')} or later`);
  }
  if (await exists('/proc/sys/kernel/unprivileged_bpf_disabled')) return good(kernelRelease);
  return bad(`${kernelRelease}, built without bpf(2)`, 'take a kernel with CONFIG_BPF_SYSCALL');
}

async function libbpfLoads({ libbpfVersion }: KernelFacts): Promise<ProbeFinding> {
  try {
    return good(libbpfVersion());
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const reason = why.split('\n')[0]?.replace(`; ${LIBBPF_MEND}`, '');
    return bad(`does not load: ${reason}`, LIBBPF_MEND);
  }
}

const CAPABILITIES_MEND =
  'run as root, or give the service AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_PERFMON';

async function capabilities({ read }: KernelFacts): Promise<ProbeFinding> {
  const status = (await read('/proc/self/status')) ?? '';
  const held = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/im.exec(status)?.[1] ?? '0'}`);
  const has = (capability: number): boolean => ((held >> BigInt(capability)) & 1n) === 1n;
  const missing: string[] = [];
  if (!has(CAP_NET_ADMIN)) missing.push('CAP_NET_ADMIN');
  if (!has(CAP_BPF) && !has(CAP_SYS_ADMIN)) missing.push('CAP_BPF');
  if (!has(CAP_PERFMON) && !has(CAP_SYS_ADMIN)) missing.push('CAP_PERFMON');
  if (missing.length > 0) return bad(`without ${missing.join(', ')}`, CAPABILITIES_MEND);
  // In a user namespace of its own a process may hold them all, and bpf(2) asks for those of the host's.
  const users = (await read('/proc/self/uid_map'))?.trim().split(/\s+/).join(' ');
  if (users !== undefined && users !== '0 0 4294967295') {
    return bad('those of a user namespace', 'run it outside of the user namespace');
  }
  return good(has(CAP_BPF) && has(CAP_PERFMON) ? 'CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON' : 'CAP_SYS_ADMIN');
}

async function bpffs(facts: KernelFacts): Promise<ProbeFinding> {
  return facts.isBpffs(BPFFS) ? good(BPFFS) : bad(`none at ${BPFFS}`, BPFFS_MEND);
}

const JIT = '/proc/sys/net/core/bpf_jit_enable';

async function jit({ read }: KernelFacts): Promise<ProbeFinding> {
  const value = (await read(JIT))?.trim();
  // Only the host's own network namespace shows it.
  if (value === undefined) return good('not shown here');
  if (value !== '0') return good('on');
  return { ok: true, found: 'off: programs are interpreted', mend: 'sysctl -w net.core.bpf_jit_enable=1' };
}

async function object({ exists }: KernelFacts): Promise<ProbeFinding> {
  return (await exists(OBJECT_PATH)) ? good(OBJECT_PATH) : bad(`no ${OBJECT_PATH}`, 'npm run setup');
}

export const KERNEL_CHECKS: readonly KernelCheck[] = [
  { name: 'kernel', look: kernel },
  { name: 'libbpf.so.1', look: libbpfLoads },
  { name: 'capabilities', look: capabilities },
  { name: 'bpffs', look: bpffs },
  { name: 'BPF JIT', look: jit },
  { name: 'program', look: object },
];

export async function probeKernelPath(facts: KernelFacts = thisKernel): Promise<ProbeResult> {
  const look = async ({ name, look }: KernelCheck): Promise<ProbeItem> => ({ name, ...(await look(facts)) });
  const items = await Promise.all(KERNEL_CHECKS.map(look));
  return { ok: items.every(({ ok }) => ok), items };
}
