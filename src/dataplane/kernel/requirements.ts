/** What the kernel data path asks of a host, and where its program is. */
import { fileURLToPath } from 'node:url';

/**
 * Static functions called while a bpf_spin_lock is held: 6.9. Earlier came bpf_redirect_neigh (5.10), the ring
 * buffer (5.8) and bpf_fib_lookup with BPF_FIB_LOOKUP_SKIP_NEIGH (6.3).
 */
export const OLDEST_KERNEL = [6, 9] as const;

/** Compiled by the set-up from bpf/stitch.bpf.c. From src and from dist it is equally far. */
export const OBJECT_PATH = fileURLToPath(new URL('../../../dist/bpf/stitch.bpf.o', import.meta.url));

/** Numbers of linux/capability.h. CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON (capabilities(7)). */
export const CAP_NET_ADMIN = 12;
export const CAP_SYS_ADMIN = 21;
export const CAP_PERFMON = 38;
export const CAP_BPF = 39;

/** `release` as `uname -r` has it. */
export function isKernelAtLeast(release: string, [major, minor]: readonly [number, number]): boolean {
  const [hasMajor = 0, hasMinor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  return hasMajor > major || (hasMajor === major && hasMinor >= minor);
}
