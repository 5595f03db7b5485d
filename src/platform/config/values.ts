/**
 * The scalars of a config: each is a zod codec between what stands in the file and what the program uses,
 * so that an effective config can be written back as a file that reads the same.
 *
 * A codec's complaint says only what is expected; `problems.ts` adds the place and what was found.
 */
import { isIP, isIPv6, SocketAddress } from 'node:net';
import * as z from 'zod';
import { type PortRange, parsePortRange } from '../host.js';
import { LOG_LEVELS } from '../log.js';
import { DURATION_FORM, formatDuration, formatSize, parseDuration, parseSize, SIZE_FORM } from '../units.js';

/** An address and a TCP or UDP port. `address` is canonical text, or where it is allowed a host name or `*`. */
export interface HostPort {
  readonly address: string;
  readonly port: number;
}

/** Given back by a reader instead of a value, to say something better than the general expectation. */
export class Mismatch {
  constructor(readonly expected: string) {}
}

/** A codec from what the file may hold; `read` gives undefined when it is not `expected`. */
export function scalar<T>(
  expected: string,
  read: (found: unknown) => T | Mismatch | undefined,
  write: (value: T) => unknown = (value) => value,
) {
  return z.codec(z.unknown(), z.custom<T>(), {
    decode: (found, context) => {
      const value = read(found);
      if (value !== undefined && !(value instanceof Mismatch)) return value;
      const message = value instanceof Mismatch ? value.expected : expected;
      context.issues.push({ code: 'custom', message, input: found });
      return z.NEVER;
    },
    // zod asks for a key that is optional and absent as well.
    encode: (value) => (value === undefined ? undefined : write(value)),
  });
}

/** A mapping with these keys and no others. */
export function section<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const known = Object.keys(shape).join(', ');
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? `one of the keys ${known}` : `a mapping with ${known}`,
  });
}

export function listOf<Item extends z.ZodType>(what: string, item: Item) {
  return z.array(item, { error: `a list of ${what}` });
}

export function oneOf<const Values extends readonly string[]>(values: Values) {
  return z.enum(values, { error: `one of ${values.join(', ')}` });
}

/** One of `supported`; a value of `planned` is known, but this version can not do it. */
function supported<const Supported extends readonly string[]>(
  supported: Supported,
  planned: readonly string[],
) {
  const expected = supported.length === 1 ? `${supported[0]}` : `one of ${supported.join(', ')}`;
  return scalar<Supported[number]>(expected, (found) => {
    if (planned.some((name) => name === found)) {
      return new Mismatch(`${expected}; ${String(found)} is not supported in this version`);
    }
    return supported.find((name) => name === found);
  });
}

export function canonicalAddress(text: string): string | undefined {
  if (text.includes('%') || isIP(text) === 0) return undefined;
  if (!isIPv6(text)) return text;
  const { address } = new SocketAddress({ address: text, family: 'ipv6' });
  // An IPv4-mapped address is the IPv4 address (RFC 4291 section 2.5.5.2).
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1] ?? address;
}

/** `10.0.0.0/8`, or an address, which is a prefix of its whole length. */
export function readPrefix(text: string): string | undefined {
  const [, addressPart = '', lengthPart] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = canonicalAddress(addressPart);
  if (address === undefined) return undefined;
  const most = isIPv6(address) ? 128 : 32;
  const length = lengthPart === undefined ? most : Number(lengthPart);
  return length <= most ? `${address}/${length}` : undefined;
}

export function formatHostPort({ address, port }: HostPort): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `10.0.0.1:80`, `[fd00::1]:80`; the part before the port as it stands, and undefined when there is no such. */
function splitHostPort(found: unknown): HostPort | undefined {
  const match = typeof found === 'string' ? /^(?:\[([^\]]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(found) : null;
  const port = Number(match?.[3]);
  if (!match || port < 1 || port > 65535) return undefined;
  if (match[1] !== undefined && !isIPv6(match[1])) return undefined;
  return { address: match[1] ?? match[2] ?? '', port };
}

function readEndpoint(found: unknown): HostPort | undefined {
  const split = splitHostPort(found);
  const address = split && canonicalAddress(split.address);
  return split && address !== undefined ? { address, port: split.port } : undefined;
}

export const HOST_NAME =
  /^(?=.{1,253}$)(?!.*\.\d+$)(?!\d+$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i;

/** A name, or `*.` and a name, in lower case; undefined when it is neither. */
export function namePattern(text: string): string | undefined {
  const bare = text.startsWith('*.') ? text.slice(2) : text;
  return HOST_NAME.test(bare) ? text.toLowerCase() : undefined;
}

export const NAME_FORM = 'a name of 1 to 63 letters, digits, ".", "_" or "-", the first a letter or digit';

export function isName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(text);
}

export const name = scalar<string>(NAME_FORM, (found) =>
  typeof found === 'string' && isName(found) ? found : undefined,
);

export function text(what: string) {
  return scalar<string>(what, (found) => (typeof found === 'string' && found !== '' ? found : undefined));
}

/** What Linux takes as an interface name (dev_valid_name in net/core/dev.c). */
function isInterfaceName(text: string): boolean {
  return /^[^\s/:]{1,15}$/.test(text) && text !== '.' && text !== '..';
}

/** An interface by its name, or by a prefix that it has an address in; no name has a slash. */
export const interfacePoint = scalar<string>(
  'the name of a network interface (1 to 15 characters), or a prefix such as 10.0.0.0/8 that it has an address in',
  (found) => {
    if (typeof found !== 'string') return undefined;
    return found.includes('/') ? readPrefix(found) : isInterfaceName(found) ? found : undefined;
  },
);

export const address = scalar<string>('an IPv4 or IPv6 address', (found) =>
  typeof found === 'string' ? canonicalAddress(found) : undefined,
);

/** As `ip addr add` takes it. */
export const prefixedAddress = scalar<string>('ADDRESS/LENGTH', (found) => {
  const [text = '', length = ''] = typeof found === 'string' ? found.split('/') : [];
  const canonical = canonicalAddress(text);
  const most = canonical?.includes(':') ? 128 : 32;
  const isLength = /^\d{1,3}$/.test(length) && Number(length) >= 1 && Number(length) <= most;
  return canonical !== undefined && isLength ? `${canonical}/${Number(length)}` : undefined;
});

export const endpoint = scalar<HostPort>(
  'ADDRESS:PORT, "[ADDRESS]:PORT" for IPv6',
  readEndpoint,
  formatHostPort,
);

/** Where to listen: an address of this host, or `*` for all of them. */
export const listenPoint = scalar<HostPort>(
  'ADDRESS:PORT, "[ADDRESS]:PORT" for IPv6, or "*:PORT" for all addresses',
  (found) => {
    const split = splitHostPort(found);
    return split?.address === '*' ? split : readEndpoint(found);
  },
  formatHostPort,
);

/** Where the switch is: found by discovery, or said. A name is looked up when it is connected to. */
export const switchPoint = scalar<'discover' | HostPort>(
  "discover, or HOST:PORT of the switch's control service",
  (found) => {
    if (found === 'discover') return 'discover';
    const split = splitHostPort(found);
    return readEndpoint(found) ?? (split && HOST_NAME.test(split.address) ? split : undefined);
  },
  (value) => (value === 'discover' ? value : formatHostPort(value)),
);

export const port = scalar<number>('a port number, 1 to 65535', (found) =>
  typeof found === 'number' && Number.isInteger(found) && found >= 1 && found <= 65535 ? found : undefined,
);

export const portRange = scalar<PortRange>(
  'FROM-TO with 1024 ≤ FROM ≤ TO ≤ 65535',
  (found) => {
    const range = typeof found === 'string' && found.includes('-') ? parsePortRange(found) : undefined;
    return range && range.from >= 1024 ? range : undefined;
  },
  ({ from, to }) => `${from}-${to}`,
);

/** A Unix socket as `unix:/path`; the program uses the path. 107 bytes are what sun_path holds (unix(7)). */
export const unixSocket = scalar<string>(
  'unix:/PATH, an absolute path of 107 bytes at most',
  (found) => {
    const path = typeof found === 'string' ? /^unix:(\/.*[^/])$/.exec(found)?.[1] : undefined;
    return path !== undefined && Buffer.byteLength(path) <= 107 ? path : undefined;
  },
  (path) => `unix:${path}`,
);

export const absolutePath = scalar<string>('an absolute path', (found) =>
  typeof found === 'string' && /^\/[^\0]*$/.test(found) ? found : undefined,
);

/** Milliseconds; above zero. */
export const duration = scalar<number>(
  `${DURATION_FORM}, above zero`,
  (found) => parseDuration(found) || undefined,
  formatDuration,
);

/** Milliseconds within bounds, or `off`, which is 0. */
export function durationOrOff(from: number, to: number) {
  return scalar<number>(
    `off, or ${DURATION_FORM}, from ${formatDuration(from)} to ${formatDuration(to)}`,
    (found) => {
      if (found === 'off') return 0;
      const ms = parseDuration(found);
      return ms !== undefined && ms >= from && ms <= to ? ms : undefined;
    },
    (ms) => (ms === 0 ? 'off' : formatDuration(ms)),
  );
}

/** Bytes, in the bounds given. */
export function size(from: number, to: number) {
  return scalar<number>(
    `${SIZE_FORM}, from ${formatSize(from)} to ${formatSize(to)}`,
    (found) => {
      const bytes = parseSize(found);
      return bytes !== undefined && bytes >= from && bytes <= to ? bytes : undefined;
    },
    formatSize,
  );
}

export function count(from: number, to: number) {
  return scalar<number>(`a whole number from ${from} to ${to}`, (found) =>
    Number.isInteger(found) && Number(found) >= from && Number(found) <= to ? Number(found) : undefined,
  );
}

export function fraction() {
  return scalar<number>('a number from 0 to 1', (found) =>
    typeof found === 'number' && found >= 0 && found <= 1 ? found : undefined,
  );
}

/** It has to be written out: nobody should run without authentication for want of a line. */
export const auth = z.strictObject(
  { mode: supported(['none'], ['tls', 'mtls', 'psk']) },
  {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? 'one of the keys mode' : '{ mode: none }, written out',
  },
);

const LINK_AUTH = '{ mode: psk, key: … } or { mode: none }, written out';
const MIN_KEY = 16;

/** How the two ends of a link know each other. Like `auth` it has to be written out. */
export const linkAuth = z.discriminatedUnion(
  'mode',
  [
    section({
      mode: z.literal('psk'),
      key: scalar<string>(`a secret of at least ${MIN_KEY} characters, the same at both ends`, (found) =>
        typeof found === 'string' && found.length >= MIN_KEY ? found : undefined,
      ),
    }),
    section({ mode: z.literal('none') }),
  ],
  { error: LINK_AUTH },
);
export type LinkAuth = z.output<typeof linkAuth>;

export const log = section({ level: oneOf(LOG_LEVELS).default('info') }).prefault({});
