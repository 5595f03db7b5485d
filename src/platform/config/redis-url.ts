/**
 * Where a Redis is, as one URL:
 *
 *   redis[s]://[USER[:PASSWORD]@]HOST[:PORT][/DB]
 *   redis+sentinel://[USER[:PASSWORD]@]HOST[:PORT],…/MASTER[/DB]
 *   redis+cluster://[USER[:PASSWORD]@]HOST[:PORT],…
 *
 * with `?tls=true`, and for Sentinel `sentinelUser` and `sentinelPassword`. Characters that have a meaning in
 * URLs are percent-encoded in names and passwords. `formatRedisUrl` writes what `parseRedisUrl` reads back to
 * the same.
 */
import { isIP, isIPv6 } from 'node:net';
import { canonicalAddress, formatHostPort, HOST_NAME, type HostPort, Mismatch } from './values.js';

export interface RedisTarget {
  readonly kind: 'server' | 'sentinel' | 'cluster';
  /** Of a cluster and of sentinels the first ones to ask; they know the others. */
  readonly nodes: readonly HostPort[];
  /** What the sentinels call it. */
  readonly master?: string;
  readonly db: number;
  readonly tls: boolean;
  /** An ACL user; without one the password is the default user's. */
  readonly user?: string;
  readonly password?: string;
  readonly sentinelUser?: string;
  readonly sentinelPassword?: string;
}

export const REDIS_URL_FORM =
  'redis://HOST:PORT/DB, rediss://…, redis+sentinel://HOST:PORT,…/MASTER/DB or redis+cluster://HOST:PORT,…';

type Kind = RedisTarget['kind'];
type Secrets = Pick<RedisTarget, 'user' | 'password' | 'sentinelUser' | 'sentinelPassword'>;

const SCHEMES: Readonly<Record<string, Kind>> = {
  redis: 'server',
  rediss: 'server',
  'redis+sentinel': 'sentinel',
  'redis+cluster': 'cluster',
};
const DEFAULT_PORTS: Readonly<Record<Kind, number>> = { server: 6379, sentinel: 26379, cluster: 6379 };
const MAX_DB = 99_999;

/** A mismatch says what is wrong with it. */
export function parseRedisUrl(text: string): RedisTarget | Mismatch {
  try {
    return readUrl(text);
  } catch (error) {
    if (error instanceof Mismatch) return error;
    // decodeURIComponent's complaint about a lone %.
    if (error instanceof URIError) return new Mismatch(`${REDIS_URL_FORM} with %25 for a "%"`);
    throw error;
  }
}

function readUrl(text: string): RedisTarget {
  const [, scheme = '', authority = '', path = '', query = ''] =
    /^([a-z+]+):\/\/([^/?#\s]*)(?:\/([^?#\s]*))?(?:\?([^#\s]*))?$/.exec(text) ?? [];
  const kind = Object.hasOwn(SCHEMES, scheme) ? SCHEMES[scheme] : undefined;
  if (kind === undefined) throw new Mismatch(REDIS_URL_FORM);
  const at = authority.lastIndexOf('@');
  const hosts = authority.slice(at + 1).split(',');
  if (kind === 'server' && hosts.length > 1) {
    throw new Mismatch('one HOST:PORT; several are for redis+sentinel:// and redis+cluster://');
  }
  return {
    kind,
    nodes: hosts.map((host) => readHost(host, DEFAULT_PORTS[kind])),
    ...readPath(kind, path.replace(/\/$/, '')),
    ...readCredentials(at < 0 ? '' : authority.slice(0, at)),
    ...readQuery(kind, query, scheme === 'rediss'),
  };
}

function readHost(text: string, defaultPort: number): HostPort {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3] ?? defaultPort);
  const isBracketed = match?.[1] !== undefined;
  const address = isBracketed === isIPv6(host) ? canonicalAddress(host) : undefined;
  const known = address ?? (!isBracketed && isIP(host) === 0 && HOST_NAME.test(host) ? host : undefined);
  if (known === undefined || port < 1 || port > 65535) {
    throw new Mismatch('HOST:PORT, "[ADDRESS]:PORT" for IPv6, after the "//" or the "@"');
  }
  return { address: known, port };
}

function readPath(kind: Kind, path: string): Pick<RedisTarget, 'db' | 'master'> {
  if (kind === 'cluster') {
    if (path !== '' && path !== '0') throw new Mismatch('no database: a cluster has only number 0');
    return { db: 0 };
  }
  if (kind === 'server') return { db: readDb(path) };
  const [master = '', db = '', ...more] = path.split('/');
  if (master === '' || more.length > 0) {
    throw new Mismatch(
      'redis+sentinel://HOST:PORT,…/MASTER/DB with the name that the sentinels give the master',
    );
  }
  return { master: decodeURIComponent(master), db: readDb(db) };
}

function readDb(text: string): number {
  if (!/^\d{0,5}$/.test(text)) throw new Mismatch(`a database number from 0 to ${MAX_DB} at the end`);
  return Number(text);
}

function readCredentials(text: string): Secrets {
  const [user = '', ...rest] = text.split(':');
  const password = rest.join(':');
  return {
    ...(user !== '' && { user: decodeURIComponent(user) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
  };
}

function readQuery(kind: Kind, query: string, isSecure: boolean): Secrets & { readonly tls: boolean } {
  const given = new URLSearchParams(query);
  const known = kind === 'sentinel' ? ['tls', 'sentinelUser', 'sentinelPassword'] : ['tls'];
  const keys = [...given.keys()];
  const tls = given.get('tls');
  if (keys.some((key) => !known.includes(key)) || new Set(keys).size < keys.length) {
    throw new Mismatch(`after the "?" each at most once: ${known.join(', ')}`);
  }
  if ((tls !== null && tls !== 'true' && tls !== 'false') || (isSecure && tls === 'false')) {
    throw new Mismatch('tls=true or tls=false (rediss:// is always with TLS)');
  }
  const sentinelUser = given.get('sentinelUser');
  const sentinelPassword = given.get('sentinelPassword');
  return {
    tls: isSecure || tls === 'true',
    ...(sentinelUser && { sentinelUser }),
    ...(sentinelPassword && { sentinelPassword }),
  };
}

export function formatRedisUrl(target: RedisTarget): string {
  const { kind, tls, user, password, sentinelUser, sentinelPassword } = target;
  const query = new URLSearchParams({
    ...(tls && kind !== 'server' && { tls: 'true' }),
    ...(sentinelUser && { sentinelUser }),
    ...(sentinelPassword && { sentinelPassword }),
  }).toString();
  const secret = password === undefined ? '' : `:${encodeURIComponent(password)}`;
  const credentials =
    user === undefined && secret === '' ? '' : `${encodeURIComponent(user ?? '')}${secret}@`;
  return `${placeOf(target, credentials)}${query && `?${query}`}`;
}

/** The same without names, passwords and options: for logs and messages. */
export function redisName(target: RedisTarget): string {
  return placeOf(target, '');
}

function placeOf({ kind, nodes, master, db, tls }: RedisTarget, credentials: string): string {
  const scheme = kind === 'server' ? (tls ? 'rediss' : 'redis') : `redis+${kind}`;
  const path =
    kind === 'cluster' ? '' : `${master === undefined ? '' : `/${encodeURIComponent(master)}`}/${db}`;
  return `${scheme}://${credentials}${nodes.map(formatHostPort).join(',')}${path}`;
}
