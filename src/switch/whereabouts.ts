/**
 * On which links the leader of a group can be reached, as it says so in the table, and as another switch of the group
 * finds it: both are on a link when they have addresses in one subnet there.
 */
import type { NetworkInterfaceInfo } from 'node:os';
import { inPrefix, isLinkLocal } from '../midcom/discovery/prefix.js';

type HostInterfaces = Readonly<
  Record<string, readonly Pick<NetworkInterfaceInfo, 'address' | 'cidr' | 'mac'>[] | undefined>
>;

interface Link {
  readonly mac: string;
  readonly addresses: readonly string[];
}

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/** What this switch says of itself: a JSON text of its links, each with its MAC address and its IP addresses. */
export function whereabouts(interfaces: readonly string[], host: HostInterfaces): string {
  const links = interfaces.flatMap((name): Link[] => {
    const infos = host[name] ?? [];
    const addresses = infos.map(({ address }) => address).filter((address) => !isLinkLocal(address));
    return infos[0] && addresses.length > 0 ? [{ mac: infos[0].mac, addresses }] : [];
  });
  return JSON.stringify(links);
}

/** The leader's MAC address on each of this switch's links that it is on. What can't be read names none. */
export function leaderOn(
  interfaces: readonly string[],
  host: HostInterfaces,
  text: string,
): Record<string, string> {
  const links = linksFrom(text);
  const found: Record<string, string> = {};
  for (const name of interfaces) {
    const prefixes = (host[name] ?? []).flatMap(({ cidr, address }) => {
      const length = Number(cidr?.split('/')[1]);
      return isLinkLocal(address) || !Number.isInteger(length) ? [] : [{ address, length }];
    });
    const link = links.find(({ addresses }) =>
      addresses.some((address) => prefixes.some((prefix) => inPrefix(address, prefix))),
    );
    if (link) found[name] = link.mac;
  }
  return found;
}

function linksFrom(text: string): Link[] {
  try {
    const links: unknown = JSON.parse(text);
    return Array.isArray(links) ? links.filter(isLink) : [];
  } catch {
    return [];
  }
}

function isLink(link: unknown): link is Link {
  const { mac, addresses } = (link ?? {}) as Partial<Record<keyof Link, unknown>>;
  const isText = (one: unknown): boolean => typeof one === 'string';
  return typeof mac === 'string' && MAC.test(mac) && Array.isArray(addresses) && addresses.every(isText);
}
