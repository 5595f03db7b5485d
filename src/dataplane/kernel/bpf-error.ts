/** What the kernel or libbpf refused: which operation, on what, and why. */
import { getSystemErrorMap } from 'node:util';
import { type ErrorCode, SutureError } from '../../platform/errors.js';

/** The errno values that callers tell apart (Linux, the same on every architecture that Suture runs on). */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  E2BIG: 7,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  ECANCELED: 125,
} as const;

/** From here on they are libbpf's own, nearly all about object files (enum libbpf_errno, bpf/libbpf.h). */
const LIBBPF_ERRNO = 4000;

/** What an errno means here, where its own text misleads. */
const MEANING: Readonly<Record<string, string>> = {
  E2BIG: 'the map is full',
  EPERM: 'not permitted: CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed',
};

export interface BpfFailure {
  /** `map NAME`, `program NAME`, `interface N` or a path. */
  readonly subject: string;
  readonly operation: string;
  /** As libbpf returns it: positive or negative. */
  readonly errno: number;
  readonly code?: ErrorCode;
  /** More lines for the message: a verifier's log. */
  readonly detail?: string;
  /** Elements of a batch that were done before it failed. */
  readonly done?: number;
}

export class BpfError extends SutureError {
  readonly operation: string;
  readonly subject: string;
  /** The name, as in `ENOENT`. */
  readonly errno: string;
  readonly done: number;

  constructor({ subject, operation, errno, code = 'SUT_DATAPLANE_FAILED', detail, done = 0 }: BpfFailure) {
    const [name, text] = describeErrno(Math.abs(errno));
    super(code, `${subject}: ${operation} failed: ${name} (${text})${detail ? `\n${detail}` : ''}`);
    this.subject = subject;
    this.operation = operation;
    this.errno = name;
    this.done = done;
  }
}

function describeErrno(errno: number): [name: string, text: string] {
  if (errno >= LIBBPF_ERRNO) return [`LIBBPF_ERRNO ${errno}`, 'not a BPF object that libbpf can use'];
  const [name, text] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, 'unknown'];
  return [name, MEANING[name] ?? text];
}
