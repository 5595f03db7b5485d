/** Addresses of the simulated hosts, and the four tuples that their packets have. */
import { type Endpoint, tupleOf } from '../../../src/wire/endpoint.js';
import type { Tuple } from '../../../src/wire/tuple.js';

export interface Endpoints {
  readonly outer: { readonly local: Endpoint; readonly remote: Endpoint };
  readonly inner: { readonly local: Endpoint; readonly remote: Endpoint };
}

export function addresses(family: 4 | 6): Endpoints {
  const host = (n: number): string => (family === 4 ? `10.201.${n}.2` : `fd00:201:${n}::2`);
  return {
    outer: { local: { address: host(2), port: 8080 }, remote: { address: host(1), port: 40_000 } },
    inner: { local: { address: host(2), port: 20_000 }, remote: { address: host(3), port: 8080 } },
  };
}

/** By `Path`. */
export function tuples({ outer, inner }: Endpoints): Tuple[] {
  return [
    tupleOf(outer.remote, outer.local),
    tupleOf(outer.local, outer.remote),
    tupleOf(inner.local, inner.remote),
    tupleOf(inner.remote, inner.local),
  ];
}
