/**
 * Where clients of a SOCKS route may go. What no rule allows is refused.
 *
 * What always holds: this host itself, and addresses that mean something only on a link or a host (loopback,
 * link-local, multicast, …), are reached only when a rule names just them: neither `*` nor a wider prefix, nor
 * a name that somebody else's DNS points there, opens them.
 */
import { networkInterfaces } from 'node:os';
import { inPrefix, type Prefix } from '../midcom/discovery/prefix.js';
import type { DestinationRule } from '../platform/config/index.js';
import { canonicalAddress } from '../wire/endpoint.js';
import { matchesName } from './names/patterns.js';

/** RFC 6890: not to be reached from elsewhere. */
const SPECIAL: readonly Prefix[] = [
  { address: '0.0.0.0', length: 8 },
  { address: '127.0.0.0', length: 8 },
  { address: '169.254.0.0', length: 16 },
  { address: '224.0.0.0', length: 4 },
  { address: '240.0.0.0', length: 4 },
  { address: '::', length: 127 },
  { address: 'fe80::', length: 10 },
  { address: 'ff00::', length: 8 },
];

export class Destinations {
  readonly #rules: readonly DestinationRule[];
  readonly #ownAddresses: () => readonly string[];

  constructor(rules: readonly DestinationRule[], ownAddresses: () => readonly string[] = hostAddresses) {
    this.#rules = rules;
    this.#ownAddresses = ownAddresses;
  }

  /** False when no address at all is allowed with this port, so that no name needs to be looked up. */
  mayAllow(port: number): boolean {
    return this.#rules.some((rule) => holdsPort(rule, port));
  }

  /** `name`: what the client asked for, when that was no address. */
  allows(address: string, port: number, name?: string): boolean {
    const special = this.#specialBlock(address);
    return this.#rules.some((rule) => {
      if (!holdsPort(rule, port)) return false;
      const prefix = prefixOf(rule.host);
      if (prefix) return inPrefix(address, prefix) && (!special || prefix.length >= special.length);
      if (special) return false;
      return rule.host === '*' || (name !== undefined && matchesName(rule.host, name));
    });
  }

  #specialBlock(address: string): Prefix | undefined {
    const block = SPECIAL.find((special) => inPrefix(address, special));
    if (block || !this.#ownAddresses().includes(address)) return block;
    return { address, length: address.includes(':') ? 128 : 32 };
  }
}

function holdsPort({ ports }: DestinationRule, port: number): boolean {
  return port >= ports.from && port <= ports.to;
}

/** Undefined for `*` and names. */
export function prefixOf(host: string): Prefix | undefined {
  const [address = '', length] = host.split('/');
  return length === undefined ? undefined : { address, length: Number(length) };
}

function hostAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .flatMap(({ address }) => canonicalAddress(address.split('%')[0] ?? '') ?? []);
}
