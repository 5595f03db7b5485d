/** What can be wrong with a Redis, sorted by what is to be done about it. */
import { SutureError } from '../../platform/errors.js';
import type { TableState } from '../port.js';

export type FaultKind =
  /** There is no connection, or it broke. */
  | 'unreachable'
  | 'no-answer'
  /** Wrong password, or an ACL that lacks a command. */
  | 'not-allowed'
  | 'out-of-memory'
  /** A replica, a server that is loading or can't save, a cluster that is being changed. */
  | 'not-writable'
  /** Another switch holds the lease. */
  | 'lease'
  /** Writes that were confirmed are not there any more. */
  | 'data-lost'
  | 'layout'
  | 'error';

const SILENT: ReadonlySet<FaultKind> = new Set(['unreachable', 'no-answer']);

/** What whoever started the program can do about it. */
const MENDS: Readonly<Partial<Record<FaultKind, string>>> = {
  unreachable: '; check that a Redis runs there, and the network',
  'no-answer': '; check that a Redis runs there, and the network',
  'not-allowed': '; check user, password and ACL',
};

/** By the first word of an error reply (redis.io: "Error handling" of the serialization protocol). */
const REPLIES: Readonly<Record<string, FaultKind>> = {
  OOM: 'out-of-memory',
  NOAUTH: 'not-allowed',
  WRONGPASS: 'not-allowed',
  NOPERM: 'not-allowed',
  READONLY: 'not-writable',
  LOADING: 'not-writable',
  BUSY: 'not-writable',
  MISCONF: 'not-writable',
  MASTERDOWN: 'not-writable',
  NOREPLICAS: 'not-writable',
  CLUSTERDOWN: 'not-writable',
  TRYAGAIN: 'not-writable',
};

/** Another connection may lead to a server that can do it. */
const ELSEWHERE = /\b(READONLY|MASTERDOWN|CLUSTERDOWN|NOAUTH|LOADING)\b/;

export class TableFault extends Error {
  override readonly name = 'TableFault';
  /** The connection is of no more use. */
  readonly needsConnection: boolean;

  constructor(
    readonly kind: FaultKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.needsConnection = SILENT.has(kind) || (kind !== 'lease' && ELSEWHERE.test(message));
  }

  get state(): TableState {
    return SILENT.has(this.kind) ? 'down' : 'degraded';
  }

  /** As what `where` is told to a person. */
  asError(where: string): SutureError {
    const message = `the flow table at ${where}: ${this.message}${MENDS[this.kind] ?? ''}`;
    return new SutureError(codeOf(this.kind), message, { cause: this });
  }
}

function codeOf(kind: FaultKind): 'SUT_TABLE_LEASE' | 'SUT_TABLE_LAYOUT' | 'SUT_TABLE_UNAVAILABLE' {
  if (kind === 'lease') return 'SUT_TABLE_LEASE';
  return kind === 'layout' ? 'SUT_TABLE_LAYOUT' : 'SUT_TABLE_UNAVAILABLE';
}

/** Whatever a client library threw. */
export function faultOf(thrown: unknown): TableFault {
  if (thrown instanceof TableFault) return thrown;
  if (thrown instanceof SutureError && thrown.code === 'SUT_TABLE_LAYOUT') {
    return new TableFault('layout', thrown.message, { cause: thrown });
  }
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  return new TableFault(kindOf(error), error.message || error.name, { cause: error });
}

function kindOf({ message, name, ...rest }: Error): FaultKind {
  const code = 'code' in rest ? String(rest.code) : '';
  // A script's complaint, and a redirection given up, quote the reply somewhere behind their own words.
  for (const word of message.match(/\b[A-Z]{3,}\b/g) ?? []) {
    const kind = Object.hasOwn(REPLIES, word) ? REPLIES[word] : undefined;
    if (kind !== undefined) return kind;
  }
  if (name === 'ReplyError' || name === 'TypeError' || name === 'RangeError') return 'error';
  if (/timed? ?out/i.test(message) && !code) return 'no-answer';
  return 'unreachable';
}
