/**
 * Programs at an interface's tc ingress: the classifier (`clsact` queueing discipline, direct-action mode).
 *
 * A program's place is the pair of handle and priority; whatever is attached elsewhere on the hook is left alone.
 * These calls act on the network namespace of the calling process.
 */
import { SutureError } from '../../platform/errors.js';
import { run } from '../../platform/process.js';
import { BpfError, Errno } from './bpf-error.js';
import type { BpfProgram } from './bpf-program.js';
import { optionsBuffer, TC_HOOK, TC_OPTIONS } from './layouts.js';
import { withLibbpfLog } from './libbpf-log.js';
import { libbpf } from './native.js';

/** Both are 1 or more. Of several programs on a hook the one with the lowest priority runs first. */
export interface TcPlace {
  readonly handle: number;
  readonly priority: number;
}

export interface TcAttachment extends TcPlace {
  readonly progId: number;
}

const INGRESS = 1;
const EGRESS = 2;

const BPF_TC_F_REPLACE = 1;
const MAX_PRIORITY = 0xffff;

function hookOf(ifindex: number, attachPoint = INGRESS): Buffer {
  const hook = optionsBuffer(TC_HOOK);
  hook.writeInt32LE(ifindex, TC_HOOK.ifindex);
  hook.writeUInt32LE(attachPoint, TC_HOOK.attach_point);
  return hook;
}

function optionsOf({ handle, priority }: TcPlace): Buffer {
  // With a 0 the kernel would choose a place itself, and nobody would find the program again.
  if (handle < 1 || priority < 1 || priority > MAX_PRIORITY) {
    throw new SutureError('SUT_INTERNAL', `handle ${handle}, priority ${priority} is no place at a tc hook`);
  }
  const options = optionsBuffer(TC_OPTIONS);
  options.writeUInt32LE(handle, TC_OPTIONS.handle);
  options.writeUInt32LE(priority, TC_OPTIONS.priority);
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
  options.writeInt32LE(program.fd, TC_OPTIONS.prog_fd);
  options.writeUInt32LE(BPF_TC_F_REPLACE, TC_OPTIONS.flags);
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
    return { ...place, progId: options.readUInt32LE(TC_OPTIONS.prog_id) };
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
