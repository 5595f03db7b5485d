/**
 * The routes of a shell, made ready: where connections come in, where each route leads, from which source address
 * it connects there, the reserved ports of that address, and what the switch has to watch.
 */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { OwnedPorts } from '../flow/endpoints.js';
import { inPrefix, type Prefix } from '../midcom/discovery/prefix.js';
import type { FlowEnd, TeardownMode } from '../midcom/port.js';
import type { Clock } from '../platform/clock.js';
import {
  LINK_PORT,
  type RouteConfig,
  type ShellConfig,
  type StitchPolicy,
} from '../platform/config/index.js';
import { canonicalAddress, type Endpoint, formatEndpoint } from '../wire/endpoint.js';
import { Destinations, prefixOf } from './destinations.js';
import { NameTable } from './names/patterns.js';
import { needsType } from './policy.js';
import { PortPool } from './ports.js';
import type { SocksUser } from './socks/handshake.js';

/** Where the second connection of a flow goes, and where it comes from. */
export interface Target {
  readonly to: Endpoint;
  readonly sourceAddress: string;
  /** Undefined when it can't be stitched. */
  readonly pool: PortPool | undefined;
}

interface RouteBase {
  readonly listen: Endpoint;
  /** The end that comes to the listener; the shell connects to the other one. */
  readonly openedBy: FlowEnd;
  readonly stitch: StitchPolicy;
  readonly teardown: TeardownMode;
  /** Who may come; everybody when undefined. */
  readonly from: readonly Prefix[] | undefined;
}

/** Leads to one endpoint: a core's, or a peer's that the core calls. */
export interface FixedRoute extends RouteBase {
  readonly kind: 'fixed';
  /** What the core is told of its peer before anything else. */
  readonly prepend: 'proxy-v2' | undefined;
  /** Names that it is for, where it shares its listener. */
  readonly match: RouteConfig['match'];
  readonly target: Target;
  /** Where connections of this route begin on a link; undefined: on a second connection at once. */
  readonly via: LinkRoute | undefined;
}

export interface LinkRoute {
  /** The core agent's link. */
  readonly to: Endpoint;
  /** When the shell itself wants a connection to leave the link. */
  readonly move: StitchPolicy;
}

/** Leads to where the client says. */
export interface SocksRoute extends RouteBase {
  readonly kind: 'socks5';
  readonly users: readonly SocksUser[];
  readonly allowed: Destinations;
  /** `accepted`: the address that the client came to. */
  readonly targetFor: (to: Endpoint, accepted: string | undefined) => Promise<Target>;
}

export type Route = FixedRoute | SocksRoute;

/** Tells its routes apart by the first bytes of a connection. */
export interface NamedListener {
  readonly kind: 'named';
  readonly names: { readonly sni: NameTable<FixedRoute>; readonly host: NameTable<FixedRoute> };
  /** For all that has none of the names; without it that is reset. */
  readonly rest: FixedRoute | undefined;
}

/** Where connections come in. */
export type Listener =
  | { readonly kind: 'fixed'; readonly route: FixedRoute }
  | { readonly kind: 'socks5'; readonly route: SocksRoute }
  | NamedListener;

export interface RoutePlan {
  readonly routes: readonly Route[];
  readonly listeners: readonly (readonly [listen: Endpoint, listener: Listener])[];
  readonly pools: ReadonlyMap<string, PortPool>;
  readonly watch: readonly OwnedPorts[];
}

export async function planRoutes(config: ShellConfig, clock: Clock): Promise<RoutePlan> {
  const planner = new Planner(config, clock);
  const routes: Route[] = [];
  for (const one of config.routes) routes.push(await planner.route(one));
  const { pools, watch } = planner;
  return { routes, listeners: listenersOf(routes), pools, watch: [...watch.values()] };
}

function listenersOf(routes: readonly Route[]): RoutePlan['listeners'] {
  const groups = new Map<string, Route[]>();
  for (const route of routes) {
    const at = formatEndpoint(route.listen);
    groups.set(at, [...(groups.get(at) ?? []), route]);
  }
  return [...groups.values()].map((group) => {
    const [first] = group as [Route];
    if (first.kind === 'socks5') return [first.listen, { kind: 'socks5', route: first }];
    const fixed = group.filter((one) => one.kind === 'fixed');
    const reads = fixed.some(({ match, stitch }) => match || needsType(stitch));
    return [first.listen, reads ? named(fixed) : { kind: 'fixed', route: first }];
  });
}

function named(routes: readonly FixedRoute[]): NamedListener {
  const table = (key: 'sni' | 'host'): NameTable<FixedRoute> =>
    new NameTable(
      routes.flatMap((route) => (route.match?.[key] ?? []).map((name) => [name, route] as const)),
    );
  return {
    kind: 'named',
    names: { sni: table('sni'), host: table('host') },
    rest: routes.find(({ match }) => match === undefined),
  };
}

class Planner {
  readonly pools = new Map<string, PortPool>();
  readonly watch = new Map<string, OwnedPorts>();

  constructor(
    readonly config: ShellConfig,
    readonly clock: Clock,
  ) {}

  async route(config: RouteConfig): Promise<Route> {
    const { listen, core, peer, socks5, allow = [], from, match, prepend, stitch, teardown } = config;
    const base = {
      listen,
      openedBy: core ? ('peer' as const) : ('core' as const),
      stitch,
      teardown,
      from: from?.flatMap((text) => prefixOf(text) ?? []),
    };
    const to = core ?? peer;
    if (to) {
      const sourceAddress = await sourceFor(listen.address, to);
      const usable = stitch !== 'never' && sameFamily(listen, to) && !isWildcard(sourceAddress);
      if (usable) this.#reserve(listen, [sourceAddress]);
      const pool = usable ? this.pools.get(sourceAddress) : undefined;
      return {
        ...base,
        kind: 'fixed',
        match,
        prepend,
        target: { to, sourceAddress, pool },
        via: linkOf(config),
      };
    }
    // Where it leads is not known yet; clients come to one of these addresses, and it goes out from the same.
    if (stitch !== 'never') this.#reserve(listen, listenAddresses(listen.address));
    return {
      ...base,
      kind: 'socks5',
      users: typeof socks5 === 'object' ? socks5.users : [],
      allowed: new Destinations(allow),
      targetFor: async (to, accepted = listen.address) => {
        const sourceAddress = await sourceFor(accepted, to);
        const usable = stitch !== 'never' && isIPv6(accepted) === isIPv6(to.address);
        return { to, sourceAddress, pool: usable ? this.pools.get(sourceAddress) : undefined };
      },
    };
  }

  /** Has the listener watched, and the reserved ports of the addresses that are connected from. */
  #reserve(listen: Endpoint, sourceAddresses: readonly string[]): void {
    const { ports } = this.config;
    for (const address of listenAddresses(listen.address)) this.#add(address, listen.port, listen.port);
    for (const address of sourceAddresses) {
      if (!this.pools.has(address)) this.pools.set(address, new PortPool(ports, this.clock));
      this.#add(address, ports.from, ports.to);
    }
  }

  #add(address: string, from: number, to: number): void {
    this.watch.set(`${address} ${from} ${to}`, { address, from, to });
  }
}

/** A core's link is on the address that the core offers, unless the route says another. */
function linkOf({ via, core, link, move, stitch }: RouteConfig): LinkRoute | undefined {
  if (via !== 'link' || !core) return undefined;
  return { to: link ?? { address: core.address, port: LINK_PORT }, move: move ?? stitch };
}

/** For logs. */
export function targetText(route: Route): string {
  return route.kind === 'fixed' ? formatEndpoint(route.target.to) : route.kind;
}

export function mayCome({ from }: Route, address: string | undefined): boolean {
  if (!from) return true;
  const canonical = address === undefined ? undefined : canonicalAddress(address.split('%')[0] ?? '');
  return canonical !== undefined && from.some((prefix) => inPrefix(canonical, prefix));
}

/** Why a route can't be stitched though it is meant to be; undefined when it can. */
export function obstacleOf(route: Route): string | undefined {
  if (route.stitch === 'never' || route.kind !== 'fixed' || route.target.pool) return undefined;
  return sameFamily(route.listen, route.target.to)
    ? 'no route to where it leads'
    : 'its two sides are IPv4 and IPv6';
}

function sameFamily(listen: Endpoint, to: Endpoint): boolean {
  return isIPv6(listen.address) === isIPv6(to.address);
}

/**
 * The address that was listened on, where it can reach the target: it is the one that the switch's
 * configuration gives to this shell. Otherwise what the kernel would take.
 */
async function sourceFor(listened: string, to: Endpoint): Promise<string> {
  const usable =
    isIPv6(listened) === isIPv6(to.address) &&
    !isWildcard(listened) &&
    isLoopback(listened) === isLoopback(to.address);
  return usable ? listened : kernelChoice(to);
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
