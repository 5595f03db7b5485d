/** Whether the kernel's program can be loaded on this machine. */
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { BpfError, BpfObject } from '../../../src/dataplane/kernel/libbpf.js';
import { isKernelAtLeast, OBJECT_PATH, OLDEST_KERNEL } from '../../../src/dataplane/kernel/requirements.js';

/** Why the program can't be loaded on this machine; undefined when it can. */
export function whyNot(): string | undefined {
  if (!isKernelAtLeast(release(), OLDEST_KERNEL)) return `it needs Linux ${OLDEST_KERNEL.join('.')} or later`;
  if (!existsSync(OBJECT_PATH)) return `${OBJECT_PATH} is not there (no clang when the set-up ran)`;
  if (process.getuid?.() !== 0)
    return 'loading a BPF program needs root (CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON)';
  const object = BpfObject.open(OBJECT_PATH);
  try {
    object.load();
    return undefined;
  } catch (error) {
    // Only what the host forbids is a reason; what the verifier refuses is a failure of the program.
    if (error instanceof BpfError && ['EPERM', 'ENOSYS', 'EOPNOTSUPP'].includes(error.errno)) {
      return error.message.split('\n')[0];
    }
    throw error;
  } finally {
    object.close();
  }
}
