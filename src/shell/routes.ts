/**
 * The routes of a shell, made ready: which source address each one uses towards its core, the reserved
 * ports of that address, and what the switch has to watch.
 */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { OwnedPorts } from '../flow/endpoints.js';
import type { TeardownMode } from '../midcom/port.js';
import type { Clock } from '../platform/clock.js';
import type { RouteConfig, ShellConfig, StitchPolicy } from '../platform/config/index.js';
import { canonicalAddress, type Endpoint } from '../wire/endpoint.js';
import { PortPool } from './ports.js';

export interface Route {
  readonly listen: Endpoint;
  readonly core: Endpoint;
  readonly stitch: StitchPolicy;
  readonly teardown: TeardownMode;
  /** Where the inner connections come from. */
  readonly sourceAddress: string;
  /** Shared by the routes with this source address; undefined when this route can't be stitched. */
  readonly pool: PortPool | undefined;
}

export interface RoutePlan {
  readonly routes: readonly Route[];
  readonly pools: ReadonlyMap<string, PortPool>;
  readonly watch: readonly OwnedPorts[];
}

export async function planRoutes(config: ShellConfig, clock: Clock): Promise<RoutePlan> {
  const pools = new Map<string, PortPool>();
  const watch = new Map<string, OwnedPorts>();
  const add = (address: string, from: number, to: number): void => {
    watch.set(`${address} ${from} ${to}`, { address, from, to });
  };
  const routes: Route[] = [];
  for (const { listen, core, stitch, teardown } of config.routes) {
    const sourceAddress = await sourceFor(listen, core);
    let pool: PortPool | undefined;
    if (stitch !== 'never' && sameFamily(listen, core) && !isWildcard(sourceAddress)) {
      pool = pools.get(sourceAddress) ?? new PortPool(config.ports, clock);
      pools.set(sourceAddress, pool);
      for (const address of listenAddresses(listen.address)) add(address, listen.port, listen.port);
      add(sourceAddress, config.ports.from, config.ports.to);
    }
    routes.push({ listen, core, stitch, teardown, sourceAddress, pool });
  }
  return { routes, pools, watch: [...watch.values()] };
}

export function sameFamily(listen: Endpoint, core: Endpoint): boolean {
  return isIPv6(listen.address) === isIPv6(core.address);
}

/**
 * The address that peers use, where it can reach the core: it is the one that the switch's configuration
 * gives to this shell. Otherwise what the kernel would take.
 */
async function sourceFor(listen: RouteConfig['listen'], core: RouteConfig['core']): Promise<string> {
  const usable =
    sameFamily(listen, core) &&
    !isWildcard(listen.address) &&
    isLoopback(listen.address) === isLoopback(core.address);
  return usable ? listen.address : kernelChoice(core);
}

/** Connecting a UDP socket sends nothing, and shows the source address of the route. */
function kernelChoice({ address, port }: Endpoint): Promise<string> {
  const any = isIPv6(address) ? '::' : '0.0.0.0';
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  return new Promise((resolve) => {
    const done = (found: string): void => {
      socket.close();
      resolve(found);
    };
    // No route yet: relayed connections fail one by one until there is, and none of them is stitched.
    socket.once('error', () => done(any));
    socket.connect(port, address, () => done(canonicalAddress(socket.address().address) ?? any));
  });
}

function listenAddresses(address: string): string[] {
  if (!isWildcard(address)) return [address];
  const family = isIPv6(address) ? 'IPv6' : 'IPv4';
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((one) => one.family === family && !one.internal && !one.address.startsWith('fe80:'))
    .flatMap((one) => canonicalAddress(one.address) ?? []);
}

function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}
