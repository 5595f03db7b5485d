/**
 * Programs at an interface's tc ingress: the classifier (`clsact` queueing discipline, direct-action mode).
 *
 * A program's place is the pair of handle and priority; whatever is attached elsewhere on the hook is left alone.
 * These calls act on the network namespace of the calling process.
 */
import type { SutureError } from '../../platform/errors.js';
import { run } from '../../platform/process.js';
import { BpfError, Errno } from './bpf-error.js';
import type { BpfProgram } from './bpf-program.js';
import { withLibbpfLog } from './libbpf-log.js';
import { libbpf } from './native.js';

/** Both are more than 0. Of several programs on a hook the one with the lowest priority runs first. */
export interface TcPlace {
  readonly handle: number;
  readonly priority: number;
}

export interface TcAttachment extends TcPlace {
  readonly progId: number;
}

/** struct bpf_tc_hook, bpf/libbpf.h. */
const HOOK_BYTES = 24;
const HOOK = { size: 0, ifindex: 8, attachPoint: 12 } as const;
const INGRESS = 1;
const EGRESS = 2;

/** struct bpf_tc_opts, bpf/libbpf.h. */
const OPTIONS_BYTES = 32;
const OPTIONS = { size: 0, fd: 8, flags: 12, progId: 16, handle: 20, priority: 24 } as const;
const BPF_TC_F_REPLACE = 1;

function hookOf(ifindex: number, attachPoint = INGRESS): Buffer {
  const hook = Buffer.alloc(HOOK_BYTES);
  hook.writeBigUInt64LE(BigInt(HOOK_BYTES), HOOK.size);
  hook.writeInt32LE(ifindex, HOOK.ifindex);
  hook.writeUInt32LE(attachPoint, HOOK.attachPoint);
  return hook;
}

function optionsOf({ handle, priority }: TcPlace): Buffer {
  const options = Buffer.alloc(OPTIONS_BYTES);
  options.writeBigUInt64LE(BigInt(OPTIONS_BYTES), OPTIONS.size);
  options.writeUInt32LE(handle, OPTIONS.handle);
  options.writeUInt32LE(priority, OPTIONS.priority);
  return options;
}

function failure(ifindex: number, operation: string, errno: number, detail: string): SutureError {
  const subject = `interface ${ifindex}`;
  return new BpfError({ subject, operation, errno, detail, code: 'SUT_DATAPLANE_UNAVAILABLE' });
}

/**
 * Attaches a program, in place of one that is there already: no packet finds the place empty meanwhile. True
 * when the hook itself (the `clsact` qdisc) had to be made for it.
 */
export function attachIngress(ifindex: number, program: BpfProgram, place: TcPlace): boolean {
  const hook = hookOf(ifindex);
  const options = optionsOf(place);
  options.writeInt32LE(program.fd, OPTIONS.fd);
  options.writeUInt32LE(BPF_TC_F_REPLACE, OPTIONS.flags);
  return withLibbpfLog((said) => {
    const made = libbpf().bpf_tc_hook_create(hook);
    if (made < 0 && made !== -Errno.EEXIST) throw failure(ifindex, 'make the tc hook', made, said());
    const result = libbpf().bpf_tc_attach(hook, options);
    if (result < 0) throw failure(ifindex, `attach ${program.name} at tc ingress`, result, said());
    return made === 0;
  });
}

/** Takes a program off; false when there was none, or no such interface. The hook stays. */
export function detachIngress(ifindex: number, place: TcPlace): boolean {
  if (!queryIngress(ifindex, place)) return false;
  return withLibbpfLog((said) => {
    const result = libbpf().bpf_tc_detach(hookOf(ifindex), optionsOf(place));
    if (result === -Errno.ENOENT || result === -Errno.ENODEV) return false;
    if (result < 0) throw failure(ifindex, 'detach from tc ingress', result, said());
    return true;
  });
}

/** The program at a place of the ingress hook, if there is one. */
export function queryIngress(ifindex: number, place: TcPlace): TcAttachment | undefined {
  const options = optionsOf(place);
  return withLibbpfLog((said) => {
    const result = libbpf().bpf_tc_query(hookOf(ifindex), options);
    // EINVAL: the interface has no hook.
    if (result === -Errno.ENOENT || result === -Errno.ENODEV || result === -Errno.EINVAL) return undefined;
    if (result < 0) throw failure(ifindex, 'query tc ingress', result, said());
    return { ...place, progId: options.readUInt32LE(OPTIONS.progId) };
  });
}

/**
 * Removes the hook of an interface if nothing at all is attached to it, neither way; false when it stays. Only
 * for whoever made it (`attachIngress` said true): another program may have made it for what it does later.
 */
export async function removeUnusedHook(name: string, ifindex: number): Promise<boolean> {
  for (const direction of ['ingress', 'egress']) {
    const { stdout } = await run('tc', ['filter', 'show', 'dev', name, direction]);
    if (stdout.trim() !== '') return false;
  }
  return withLibbpfLog((said) => {
    const result = libbpf().bpf_tc_hook_destroy(hookOf(ifindex, INGRESS | EGRESS));
    if (result === -Errno.ENOENT || result === -Errno.EINVAL || result === -Errno.ENODEV) return false;
    if (result < 0) throw failure(ifindex, 'remove the tc hook', result, said());
    return true;
  });
}
