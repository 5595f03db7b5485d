/**
 * What an accepted connection turns out to want: where it is to go, and which of its bytes were read before that
 * was known. How that is found out depends on the listener (`reception.ts`).
 */
import type { Endpoint } from '../wire/endpoint.js';
import type { FixedRoute, Route, Target } from './routes.js';

/** What the first bytes look like, as far as they were looked at; for policies. */
export type ConnectionType = 'plain' | 'tls' | 'http' | 'socks5';

export interface Arrival {
  readonly kind: 'arrival';
  readonly route: Route;
  readonly type: ConnectionType;
  /** The name that it is for, if it gave one. */
  readonly name: string | undefined;
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

/** For a route that leads to one endpoint, and keeps nothing for itself. */
export function plainArrival(
  route: FixedRoute,
  { early = NO_BYTES, type = 'plain', name }: Partial<Pick<Arrival, 'early' | 'type' | 'name'>> = {},
): Arrival {
  return {
    kind: 'arrival',
    route,
    type,
    name,
    targets: [route.target],
    early,
    consumed: 0,
    written: 0,
    accept: () => NO_BYTES,
    refuse: () => NO_BYTES,
  };
}
