/**
 * What an accepted connection turns out to want: where it is to go, and which of its bytes were read before that
 * was known. How that is found out depends on the route.
 */
import type { Endpoint } from '../wire/endpoint.js';
import type { Target } from './routes.js';

export interface Arrival {
  readonly kind: 'arrival';
  /** In the order in which they are tried; one at least. */
  readonly targets: readonly Target[];
  /** Bytes that have been read and belong to the stream. */
  readonly early: Buffer;
  /** Bytes that were read and are nobody's but the shell's, and bytes that it has written of its own. */
  readonly consumed: number;
  readonly written: number;
  /** What the accepted end is told before anything else when the connection from `bound` stands. */
  readonly accept: (bound: Endpoint | undefined) => Buffer;
  /** Last words when it does not; empty: a reset says it. */
  readonly refuse: (error: unknown) => Buffer;
}

/** Nothing that this shell serves. */
export interface Dismissal {
  readonly kind: 'dismissal';
  /** Empty: it is reset. */
  readonly words: Buffer;
}

export const NO_BYTES = Buffer.alloc(0);

export function plainArrival(target: Target, early = NO_BYTES): Arrival {
  return {
    kind: 'arrival',
    targets: [target],
    early,
    consumed: 0,
    written: 0,
    accept: () => NO_BYTES,
    refuse: () => NO_BYTES,
  };
}
