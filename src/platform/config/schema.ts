/**
 * One schema a role, and the types of the effective configs: every default is filled in, durations are
 * milliseconds, sizes are bytes, addresses are canonical. `docs/OPERATIONS.md` explains each key.
 *
 * What is known to the design but not to this version is told apart from what nobody knows.
 */
import * as z from 'zod';
import { formatRedisUrl, parseRedisUrl, REDIS_URL_FORM, type RedisTarget } from './redis-url.js';
import { checkListeners, route } from './routes.js';
import {
  absolutePath,
  address,
  auth,
  count,
  duration,
  durationOrOff,
  endpoint,
  type HostPort,
  interfacePoint,
  linkAuth,
  listenPoint,
  listOf,
  log,
  name,
  oneOf,
  port,
  portRange,
  prefixedAddress,
  scalar,
  section,
  size,
  switchPoint,
  text,
  unixSocket,
} from './values.js';

const MINUTE = 60_000;
const MEGABYTE = 1024 * 1024;
/** TCP_KEEPIDLE takes 32767 s at most (tcp(7)). */
const MAX_KEEPALIVE = 32_767_000;

/** The control service's TCP port and discovery's UDP port. */
export const CONTROL_PORT = 57626;
export const DISCOVERY_PORT = 57627;

const discovery = section({ port: port.default(DISCOVERY_PORT) }).prefault({});

const table = scalar<'memory' | RedisTarget>(
  `memory, or ${REDIS_URL_FORM}`,
  (found) => {
    if (found === 'memory') return found;
    return typeof found === 'string' && found.startsWith('redis') ? parseRedisUrl(found) : undefined;
  },
  (value) => (value === 'memory' ? value : formatRedisUrl(value)),
);

/** How the table in Redis is used; without one these say nothing. */
const redis = section({
  user: text('the name of an ACL user').exactOptional(),
  password: text('a text; one of digits needs quotes').exactOptional(),
  ca: text('the path of a PEM file').exactOptional(),
  timeout: duration.default(1000),
  lease: duration.default(1000),
  queue: count(1, 100_000_000).default(100_000),
  events: count(1, 100_000_000).default(10_000),
});

/** One of the addresses that hosts route to, and that the active switch of a group has. */
const virtualAddress = section({ interface: interfacePoint, address: prefixedAddress });

/** Programs that are run when this switch becomes the active one of its group, and when it is no longer. */
const hooks = section({
  active: text('the path of a program').exactOptional(),
  standby: text('the path of a program').exactOptional(),
});

const agent = section({
  name,
  role: oneOf(['shell', 'core']),
  addresses: listOf('addresses', address).min(1, { error: 'a list of at least one address' }),
});

export const switchSchema = section({
  name,
  interfaces: listOf('interfaces', interfacePoint).min(1, { error: 'a list of at least one interface' }),
  auth,
  table: table.default('memory'),
  group: name.default('default'),
  durability: oneOf(['strict', 'relaxed']).default('strict'),
  redis: redis.prefault({}),
  standby: z.boolean({ error: 'true or false' }).default(false),
  scaleOut: z.boolean({ error: 'true or false' }).default(false),
  virtualAddresses: listOf('virtual addresses', virtualAddress).default([]),
  hooks: hooks.prefault({}),
  dataplane: oneOf(['auto', 'kernel', 'userspace']).default('auto'),
  bpffs: absolutePath.default('/sys/fs/bpf'),
  agents: listOf('agents', agent).default([]),
  control: section({ listen: listenPoint.default({ address: '*', port: CONTROL_PORT }) }).prefault({}),
  discovery,
  admin: unixSocket.exactOptional(),
  limits: section({
    agents: count(1, 100_000).default(64),
    flows: count(16, 4_000_000).default(65_536),
    flowsPerAgent: count(1, 10_000_000).default(20_000),
    halfOpen: count(1, 10_000_000).default(16_384),
    requestsPerSecond: count(1, 10_000_000).default(20_000),
    messageSize: size(1024, 16 * MEGABYTE).default(64 * 1024),
  }).prefault({}),
  timers: section({
    clampDeadline: duration.default(200),
    drainLimit: duration.default(30_000),
    teardownLimit: duration.default(5_000),
    lingerClosed: duration.default(4 * MINUTE),
    lingerReset: duration.default(MINUTE),
    idle: duration.default(124 * MINUTE),
  }).prefault({}),
  clampCap: size(4096, 1024 * MEGABYTE).default(MEGABYTE),
  log,
}).superRefine(
  ({ agents, dataplane, interfaces, scaleOut, standby, table: kept, virtualAddresses }, context) => {
    const complain = (path: (string | number)[], message: string): void =>
      context.addIssue({ code: 'custom', path, message });
    repeated(interfaces, (at) => complain(['interfaces', at], 'an interface that is named once'));
    repeated(
      agents.map((one) => one.name),
      (at) => complain(['agents', at, 'name'], 'a name that no other agent has'),
    );
    if (standby && kept === 'memory')
      complain(['standby'], 'false, or a table in Redis that the group shares');
    if (scaleOut && !standby) complain(['scaleOut'], 'false, or `standby: true` beside it');
    if (scaleOut && dataplane === 'userspace') complain(['scaleOut'], 'false, or the kernel data path');
    for (const [at, { interface: of }] of virtualAddresses.entries()) {
      if (!interfaces.includes(of)) complain(['virtualAddresses', at, 'interface'], 'one of `interfaces`');
    }
    const owners = new Map<string, string>();
    for (const [i, one] of agents.entries()) {
      for (const [j, owned] of one.addresses.entries()) {
        const owner = owners.get(owned);
        if (owner !== undefined && owner !== one.name) {
          complain(['agents', i, 'addresses', j], `an address of one agent only (${owner} has it already)`);
        }
        owners.set(owned, one.name);
      }
    }
  },
);

/** TCP port of a core agent's link, unless a route says another. */
export const LINK_PORT = 57628;
const LINK_STREAMS = 1000;

const shellLink = section({ auth: linkAuth, streams: count(1, 1_000_000).default(LINK_STREAMS) });

export const shellSchema = section({
  name,
  switch: switchPoint.default('discover'),
  discovery,
  auth,
  ports: portRange,
  routes: listOf('routes', route).min(1, { error: 'a list of at least one route' }),
  link: shellLink.exactOptional(),
  limits: section({
    connections: count(1, 1_000_000).default(10_000),
    buffer: size(4096, 64 * MEGABYTE).default(64 * 1024),
    greeting: size(1024, 256 * 1024).default(16 * 1024),
  }).prefault({}),
  timers: section({
    connect: duration.default(10_000),
    drain: duration.default(30_000),
    greeting: duration.default(5_000),
    keepalive: durationOrOff(1_000, MAX_KEEPALIVE).default(MINUTE),
  }).prefault({}),
  log,
}).superRefine(({ routes, ports, link }, context) => {
  const complain = (path: (string | number)[], message: string): void =>
    context.addIssue({ code: 'custom', path, message });
  checkListeners(routes, complain);
  const linked = routes.findIndex(({ via }) => via === 'link');
  if (linked >= 0 && !link) complain(['link'], `a mapping with auth, since routes[${linked}] has via: link`);
  for (const [i, { listen }] of routes.entries()) {
    if (listen.port < ports.from || listen.port > ports.to) continue;
    complain(['routes', i, 'listen'], `a port outside the reserved ports ${ports.from}-${ports.to}`);
  }
});

const MOVE = 'never, now, or { after: { bytes, age } }';

/** When a core agent asks that a connection leaves its link. */
const coreMove = z.union(
  [
    z.enum(['never', 'now'], { error: MOVE }),
    section({
      after: section({
        bytes: size(1, Number.MAX_SAFE_INTEGER).exactOptional(),
        age: duration.exactOptional(),
      }).refine((conditions) => Object.keys(conditions).length > 0, {
        error: 'at least one of bytes, age',
      }),
    }),
  ],
  { error: MOVE },
);

const coreLink = section({
  listen: endpoint,
  auth: linkAuth,
  move: coreMove.default('never'),
  streams: count(1, 1_000_000).default(LINK_STREAMS),
  connections: count(1, 1_000_000).default(10_000),
  buffer: size(4096, 64 * MEGABYTE).default(64 * 1024),
  connect: duration.default(10_000),
  drain: duration.default(30_000),
});

const CALLS = "any, or a list of shells' endpoints";

export const coreSchema = section({
  name,
  switch: switchPoint.default('discover'),
  discovery,
  auth,
  offers: listOf('endpoints', endpoint),
  calls: z
    .union([z.literal('any', { error: CALLS }), listOf('endpoints', endpoint)], { error: CALLS })
    .exactOptional(),
  deliver: endpoint.exactOptional(),
  link: coreLink.exactOptional(),
  log,
}).superRefine(({ offers, calls, deliver, link }, context) => {
  const complain = (path: (string | number)[], message: string): void =>
    context.addIssue({ code: 'custom', path, message });
  const text = offers.map((offer) => `${offer.address} ${offer.port}`);
  repeated(text, (at) => complain(['offers', at], 'an endpoint that is offered once'));
  if (link && !deliver) complain(['deliver'], 'ADDRESS:PORT of a local server, since there is a link');
  if (deliver && !link) complain(['link'], 'a mapping with listen and auth, since deliver is given');
  if (deliver && text.includes(`${deliver.address} ${deliver.port}`))
    complain(['deliver'], 'an endpoint that is not offered: what is offered, this agent listens on itself');
  if (link && text.includes(`${link.listen.address} ${link.listen.port}`))
    complain(['link', 'listen'], 'an endpoint that is not offered');
  if (link && offers.length === 0) complain(['offers'], 'a list of at least one endpoint with link');
  if (offers.length === 0 && calls === undefined) {
    complain(['offers'], 'a list of at least one endpoint (of none only where calls is written out)');
  } else if (offers.length === 0 && calls?.length === 0) {
    complain(['calls'], 'any or a list of at least one endpoint, since offers is empty');
  }
});

function repeated(values: readonly string[], complain: (at: number) => void): void {
  for (const [at, value] of values.entries()) if (values.indexOf(value) !== at) complain(at);
}

/** `admin` is the path of the socket. */
export type SwitchConfig = Omit<z.output<typeof switchSchema>, 'admin'> & { admin: string };
export type ShellConfig = z.output<typeof shellSchema>;
export type CoreConfig = z.output<typeof coreSchema> & { calls: 'any' | HostPort[] };
export type CoreMove = z.output<typeof coreMove>;
export type CoreLinkConfig = z.output<typeof coreLink>;
export type RouteConfig = ShellConfig['routes'][number];
export type StitchPolicy = RouteConfig['stitch'];
export type StitchConditions = Extract<StitchPolicy, object>['after'];
