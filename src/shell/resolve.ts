/** Names to addresses, as the host's own resolver does it (`/etc/hosts` and all). */
import { lookup } from 'node:dns/promises';
import { canonicalAddress } from '../wire/endpoint.js';

/** Canonical addresses in the resolver's order; empty when the name has none. */
export type Resolve = (name: string) => Promise<readonly string[]>;

export const systemResolve: Resolve = async (name) => {
  // The resolver's threads can't be told to give up; whoever waits does so with a limit of their own.
  const found = await lookup(name, { all: true }).catch(() => []);
  return [...new Set(found.flatMap(({ address }) => canonicalAddress(address.split('%')[0] ?? '') ?? []))];
};
