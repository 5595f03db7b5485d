/**
 * The ways out of this host: interfaces that are up, are not loopback and have a route. Only a host with
 * exactly one has a switch that sees all of its packets.
 *
 * The kernel lists routes of interfaces that are up only, so the two route tables say all of it. They are
 * those of the process's own network namespace.
 */
import { readFile } from 'node:fs/promises';
import { endianness } from 'node:os';
import { addressText, addressWords } from '../../wire/endpoint.js';
import { inPrefix } from './prefix.js';

export interface Way {
  readonly interface: string;
  /** Default gateways, in the order of their metrics; IPv6 ones may be link-local. */
  readonly gateways: readonly string[];
}

/** Flags of include/uapi/linux/route.h and ipv6_route.h. */
const RTF_UP = 0x1;
const RTF_GATEWAY = 0x2;
const RTF_REJECT = 0x200;
const RTF_ANYCAST = 0x40000000;
const RTF_LOCAL = 0x80000000;

interface Route {
  readonly interface: string;
  readonly destination: string;
  readonly length: number;
  readonly gateway: string | undefined;
  readonly metric: number;
}

const MULTICAST_V4 = { address: '224.0.0.0', length: 4 };
const MULTICAST_V6 = { address: 'ff00::', length: 8 };
const LINK_LOCAL_V6 = { address: 'fe80::', length: 10 };

/** `route` and `ipv6Route` are the texts of /proc/net/route and /proc/net/ipv6_route. */
export function waysOf(route: string, ipv6Route: string): Way[] {
  const routes = [...parseIpv4Routes(route), ...parseIpv6Routes(ipv6Route)];
  const gateways = new Map<string, Route[]>();
  for (const each of routes) {
    const known = gateways.get(each.interface) ?? [];
    if (each.length === 0 && each.gateway !== undefined) known.push(each);
    gateways.set(each.interface, known);
  }
  return [...gateways]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, defaults]) => {
      const sorted = defaults.sort((a, b) => a.metric - b.metric);
      return { interface: name, gateways: [...new Set(sorted.flatMap(({ gateway }) => gateway ?? []))] };
    });
}

export async function readWays(): Promise<Way[]> {
  const read = (name: string): Promise<string> => readFile(`/proc/net/${name}`, 'utf8').catch(() => '');
  return waysOf(await read('route'), await read('ipv6_route'));
}

/** Columns: interface, destination, gateway, flags, refs, use, metric, mask; words in the host's byte order. */
function parseIpv4Routes(text: string): Route[] {
  // The first line names the columns, and one of the names reads as a hexadecimal number.
  const lines = text.split('\n').slice(1);
  return lines.flatMap((line) => {
    const [name = '', destination, gateway, flagText = '', , , metric, mask] = line.trim().split(/\s+/);
    const flags = Number.parseInt(flagText, 16);
    if (!usable(name, flags) || destination === undefined || gateway === undefined || mask === undefined)
      return [];
    const route = {
      interface: name,
      destination: ipv4Text(destination),
      length: bitCount(Number.parseInt(mask, 16)),
      gateway: flags & RTF_GATEWAY ? ipv4Text(gateway) : undefined,
      metric: Number(metric),
    };
    return inPrefix(route.destination, MULTICAST_V4) ? [] : [route];
  });
}

/** Columns: destination, its length, source, its length, next hop, metric, refs, use, flags, interface. */
function parseIpv6Routes(text: string): Route[] {
  return text.split('\n').flatMap((line) => {
    const [destination = '', length = '', , , hop = '', metric = '', , , flagText = '', name = ''] = line
      .trim()
      .split(/\s+/);
    const flags = Number.parseInt(flagText, 16);
    if (!usable(name, flags) || flags & RTF_ANYCAST || flags & RTF_LOCAL) return [];
    const route = {
      interface: name,
      destination: ipv6Text(destination),
      length: Number.parseInt(length, 16),
      gateway: flags & RTF_GATEWAY ? ipv6Text(hop) : undefined,
      metric: Number.parseInt(metric, 16),
    };
    // Every interface with IPv6 has these two, whether or not it leads anywhere.
    const idle = [MULTICAST_V6, LINK_LOCAL_V6].some(
      (prefix) => route.length >= prefix.length && inPrefix(route.destination, prefix),
    );
    return idle ? [] : [route];
  });
}

function usable(name: string, flags: number): boolean {
  return name !== '' && name !== 'lo' && name !== '*' && (flags & RTF_UP) !== 0 && (flags & RTF_REJECT) === 0;
}

/** Four bytes in network order, printed as one number of this machine. */
function ipv4Text(hex: string): string {
  const value = Number.parseInt(hex, 16);
  const bytes = [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
  return (endianness() === 'LE' ? bytes : bytes.reverse()).join('.');
}

function ipv6Text(hex: string): string {
  const groups = hex.match(/.{4}/g) ?? [];
  const words = addressWords(groups.join(':'));
  return words ? addressText(words) : '::';
}

function bitCount(value: number): number {
  let count = 0;
  for (let rest = value >>> 0; rest !== 0; rest &= rest - 1) count++;
  return count;
}
