/**
 * The BPF filesystem, in which maps and programs stay when the process that made them ends. It is a mount of its
 * own, usually at /sys/fs/bpf; network namespaces change nothing about it, but `ip netns exec` mounts another
 * /sys over it (`nsenter --net` does not).
 */
import { mkdirSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { SutureError } from '../../platform/errors.js';
import { run } from '../../platform/process.js';

export const BPFFS = '/sys/fs/bpf';
export const BPFFS_MEND = `mount -t bpf bpf ${BPFFS}`;
/** linux/magic.h. */
const BPF_FS_MAGIC = 0xcafe4a11;

/** Whether `path` is there and lies on a BPF filesystem. */
export function isBpffs(path: string): boolean {
  try {
    return statfsSync(path).type === BPF_FS_MAGIC;
  } catch {
    return false;
  }
}

/** Makes the folder `path` (its owner's alone) if need be; SUT_DATAPLANE_UNAVAILABLE when it is not on a BPF filesystem. */
export function ensureBpffs(path: string): void {
  if (isBpffs(path)) return;
  const missing = [path];
  for (let parent = dirname(path); !isBpffs(parent); parent = dirname(parent)) {
    if (parent === dirname(parent)) {
      const message = `${path} is not on a BPF filesystem; ${BPFFS_MEND}`;
      throw new SutureError('SUT_DATAPLANE_UNAVAILABLE', message);
    }
    missing.unshift(parent);
  }
  for (const folder of missing) makeFolder(folder);
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST')
      throw new SutureError('SUT_DATAPLANE_UNAVAILABLE', `can't make ${folder}: ${message}`);
  }
}

/**
 * Mounts one at /sys/fs/bpf unless it is there already. Needs CAP_SYS_ADMIN. Two processes that do so at once
 * would put one mount over the other and hide what is pinned in it, hence the lock and the second look under it.
 */
export async function mountBpffs(): Promise<void> {
  if (isBpffs(BPFFS)) return;
  const mount = `findmnt -t bpf --mountpoint ${BPFFS} || mount -t bpf -o mode=700 bpf ${BPFFS}`;
  await run('flock', [BPFFS, 'sh', '-c', mount]);
}

/** Mounts one where it usually is; anywhere else it must be there. */
export async function requireBpffs(path: string): Promise<void> {
  if (isBpffs(path)) return;
  if (path === BPFFS) return mountBpffs();
  const message = `${path} is not a BPF filesystem; mount -t bpf bpf ${path}, or correct \`bpffs\``;
  throw new SutureError('SUT_DATAPLANE_UNAVAILABLE', message);
}
