/**
 * One route of a shell: where it listens, and where what comes in there goes. Which keys go together is checked
 * here too.
 */
import * as z from 'zod';
import type { PortRange } from '../host.js';
import { parsePortRange } from '../host.js';
import { formatTimeWindow, parseTimeWindow, TIME_WINDOW_FORM, type TimeWindow } from '../units.js';
import {
  count,
  duration,
  endpoint,
  fraction,
  listOf,
  namePattern,
  oneOf,
  readPrefix,
  scalar,
  section,
  size,
} from './values.js';

const CONDITIONS = 'bytes, age, packets, shellLoad, timeOfDay, type';
const AFTER = `now, never, or { after: { ${CONDITIONS} } }`;
const TYPES = ['plain', 'tls', 'http', 'socks5'];

const timeWindow = scalar<TimeWindow>(TIME_WINDOW_FORM, parseTimeWindow, formatTimeWindow);

const connectionType = scalar<string>(
  `one of ${TYPES.join(', ')}, or a host name, or *. and a name`,
  (found) => {
    if (typeof found !== 'string') return undefined;
    return TYPES.includes(found) ? found : namePattern(found);
  },
);

const after = section({
  bytes: size(1, Number.MAX_SAFE_INTEGER).exactOptional(),
  age: duration.exactOptional(),
  packets: count(1, Number.MAX_SAFE_INTEGER).exactOptional(),
  shellLoad: fraction().exactOptional(),
  timeOfDay: timeWindow.exactOptional(),
  type: listOf('types', connectionType)
    .min(1, { error: 'a list of at least one type or name' })
    .exactOptional(),
}).refine((conditions) => Object.keys(conditions).length > 0, { error: `at least one of ${CONDITIONS}` });

const stitch = z.union([z.enum(['now', 'never'], { error: AFTER }), section({ after })], { error: AFTER });

/** Addresses, written as a prefix, or names, that may be reached on some ports. */
export interface DestinationRule {
  /** `*`, `address/length`, a name, or `*.` and a name. */
  readonly host: string;
  readonly ports: PortRange;
}

const ALL_PORTS: PortRange = { from: 1, to: 65_535 };
const DESTINATION =
  'HOST:PORTS, where HOST is an address, a prefix such as 10.0.0.0/8 or "[fd00::/8]", a name, *.NAME or *, and ' +
  'PORTS is a port, FROM-TO or *';

const destination = scalar<DestinationRule>(
  DESTINATION,
  (found) => {
    const match =
      typeof found === 'string' ? /^(?:\[([^\]\s]+)\]|([^:[\]\s]+)):([\d-]+|\*)$/.exec(found) : null;
    const [, bracketed, plain = '', portText = ''] = match ?? [];
    const ports = portText === '*' ? ALL_PORTS : parsePortRange(portText);
    if (!match || !ports || ports.from < 1) return undefined;
    const prefix = readPrefix(bracketed ?? plain);
    // Brackets are for IPv6 only, which in turn needs them.
    if (prefix !== undefined)
      return prefix.includes(':') === (bracketed !== undefined) ? { host: prefix, ports } : undefined;
    if (bracketed !== undefined) return undefined;
    const host = plain === '*' ? plain : namePattern(plain);
    return host === undefined ? undefined : { host, ports };
  },
  ({ host, ports: { from, to } }) => {
    const ports = from === ALL_PORTS.from && to === ALL_PORTS.to ? '*' : from === to ? from : `${from}-${to}`;
    return `${host.includes(':') ? `[${host}]` : host}:${ports}`;
  },
);

const clientPrefix = scalar<string>('an address, or a prefix such as 10.0.0.0/8 or fd00::/8', (found) =>
  typeof found === 'string' ? readPrefix(found) : undefined,
);

const pattern = scalar<string>('a host name, or *. and a name for all names below it', (found) =>
  typeof found === 'string' ? namePattern(found) : undefined,
);

/** RFC 1929: a length is one byte. A JVM sends no password unless its program has an Authenticator. */
function credential(what: string, least: number) {
  return scalar<string>(`a ${what} of ${least} to 255 bytes`, (found) => {
    const length = typeof found === 'string' ? Buffer.byteLength(found) : -1;
    return length >= least && length <= 255 ? String(found) : undefined;
  });
}

const SOCKS5 = 'true, or { users: [{ user, password }] }';

const user = section({ user: credential('user name', 1), password: credential('password', 0) });

const socks5 = z.union(
  [
    z.literal(true, { error: SOCKS5 }),
    section({ users: listOf('users', user).min(1, { error: 'a list of at least one user' }) }),
  ],
  { error: SOCKS5 },
);

const ALLOW = 'destinations that may be reached, such as [10.0.0.0/8:443, "*.example.org:*"]';

const patterns = listOf('names', pattern).min(1, { error: 'a list of at least one name' });

const match = section({ sni: patterns.exactOptional(), host: patterns.exactOptional() }).refine(
  ({ sni, host }) => sni !== undefined || host !== undefined,
  { error: 'at least one of sni, host' },
);

export const route = section({
  listen: endpoint,
  match: match.exactOptional(),
  core: endpoint.exactOptional(),
  peer: endpoint.exactOptional(),
  socks5: socks5.exactOptional(),
  allow: listOf(ALLOW, destination)
    .min(1, { error: `a list of ${ALLOW}` })
    .exactOptional(),
  from: listOf('addresses and prefixes', clientPrefix)
    .min(1, { error: 'a list of at least one address or prefix' })
    .exactOptional(),
  prepend: oneOf(['proxy-v2']).exactOptional(),
  via: oneOf(['tcp', 'link']).default('tcp'),
  link: endpoint.exactOptional(),
  move: stitch.exactOptional(),
  stitch: stitch.default('now'),
  teardown: oneOf(['core', 'control', 'shell', 'both']).default('core'),
}).superRefine((found, context) => {
  const complain = (key: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message });
  const ways = (['core', 'peer', 'socks5'] as const).filter((key) => found[key] !== undefined);
  if (ways.length === 0) complain('core', 'ADDRESS:PORT of a core, or else the key peer or socks5');
  for (const key of ways.slice(1))
    complain(key, `a route with one of core, peer and socks5 (it has ${ways[0]})`);
  if (found.socks5 !== undefined && found.allow === undefined) complain('allow', `a list of ${ALLOW}`);
  for (const key of ['match', 'prepend'] as const) {
    if (found.core === undefined && found[key] !== undefined) complain(key, 'this key only with core');
  }
  checkLink(found, complain);
  if (found.socks5 === undefined && found.allow !== undefined) complain('allow', 'this key only with socks5');
});

type LinkKeys = {
  readonly via: 'tcp' | 'link';
  readonly core?: unknown;
  readonly link?: unknown;
  readonly move?: z.output<typeof stitch>;
  readonly stitch: z.output<typeof stitch>;
};

/** The switch counts no packets of a connection before it has left the link. */
function checkLink(found: LinkKeys, complain: (key: string, message: string) => void): void {
  const { via, core, link, move } = found;
  if (via === 'tcp') {
    if (link !== undefined) complain('link', 'this key only with via: link');
    if (move !== undefined) complain('move', 'this key only with via: link');
    return;
  }
  if (core === undefined) complain('via', 'tcp (link only with core)');
  const policy = move ?? found.stitch;
  if (typeof policy !== 'object' || policy.after.packets === undefined) return;
  if (move !== undefined) complain('move', 'conditions without packets: on a link none are counted');
  else complain('move', 'now, never, or conditions without packets, since stitch waits for packets');
}

type Route = z.output<typeof route>;

type Complain = (path: (string | number)[], message: string) => void;
type Numbered = readonly [index: number, route: Route];

/** Routes that share a listener are told apart by names: all lead to cores, and one at most takes the rest. */
export function checkListeners(routes: readonly Route[], complain: Complain): void {
  const groups = new Map<string, Numbered[]>();
  for (const [index, one] of routes.entries()) {
    const at = `${one.listen.address} ${one.listen.port}`;
    groups.set(at, [...(groups.get(at) ?? []), [index, one]]);
  }
  for (const group of groups.values()) {
    const mayShare = group.every(([, one]) => one.core !== undefined);
    const taking = mayShare ? group.filter(([, one]) => one.match === undefined) : group;
    for (const [index] of taking.slice(1)) {
      const which = mayShare ? 'no other route without match' : 'no other route';
      complain(['routes', index, 'listen'], `an endpoint that ${which} listens on`);
    }
    for (const key of ['sni', 'host'] as const) checkNames(group, key, complain);
  }
}

function checkNames(group: readonly Numbered[], key: 'sni' | 'host', complain: Complain): void {
  const owners = new Map<string, number>();
  for (const [index, one] of group) {
    for (const [at, name] of (one.match?.[key] ?? []).entries()) {
      const owner = owners.get(name);
      if (owner !== undefined) {
        complain(['routes', index, 'match', key, at], `a name that routes[${owner}] does not have`);
      }
      owners.set(name, index);
    }
  }
}
