/**
 * SOCKS version 5 as bytes (RFC 1928), and its user name and password (RFC 1929). Pure.
 *
 * A parser is given all bytes that have come so far. It never reads past them: it says that it needs more, or
 * what it found and how many bytes that took.
 */
import { addressText, addressWords, canonicalAddress, type Endpoint } from '../../wire/endpoint.js';
import { hostName } from '../names/named.js';

const VERSION = 5;
/** RFC 1929: of the subnegotiation, not of SOCKS. */
const AUTH_VERSION = 1;
const MAX_PORT = 65_535;

export const Method = { None: 0x00, UserPassword: 0x02, NoneAcceptable: 0xff } as const;
export const Command = { Connect: 1, Bind: 2, UdpAssociate: 3 } as const;
const AddressType = { Ipv4: 1, Name: 3, Ipv6: 4 } as const;

/** RFC 1928 section 6. */
export const Reply = {
  Succeeded: 0,
  GeneralFailure: 1,
  NotAllowed: 2,
  NetworkUnreachable: 3,
  HostUnreachable: 4,
  ConnectionRefused: 5,
  CommandNotSupported: 7,
  AddressTypeNotSupported: 8,
} as const;
export type Reply = (typeof Reply)[keyof typeof Reply];

export type Parsed<T> =
  | { readonly kind: 'more' }
  | { readonly kind: 'done'; readonly value: T; readonly length: number }
  /** `reply`: what a request of this kind is answered with; without it, the other end speaks something else. */
  | { readonly kind: 'wrong'; readonly why: string; readonly reply?: Reply };

export interface Credentials {
  readonly user: Buffer;
  readonly password: Buffer;
}

export interface SocksRequest {
  readonly command: number;
  /** An address in canonical text, or a name in lower case without a dot at its end. */
  readonly host: string;
  readonly isName: boolean;
  readonly port: number;
}

const MORE = { kind: 'more' } as const;

/** What the client can do to say who it is. */
export function parseMethods(bytes: Buffer): Parsed<readonly number[]> {
  const [version, count] = bytes;
  if (version === undefined) return MORE;
  if (version !== VERSION) return { kind: 'wrong', why: `SOCKS version ${version}, 5 expected` };
  if (count === undefined || bytes.length < 2 + count) return MORE;
  return { kind: 'done', value: [...bytes.subarray(2, 2 + count)], length: 2 + count };
}

export function parseCredentials(bytes: Buffer): Parsed<Credentials> {
  const [version, userLength] = bytes;
  if (version === undefined) return MORE;
  if (version !== AUTH_VERSION) return { kind: 'wrong', why: `version ${version} of the login, 1 expected` };
  if (userLength === undefined) return MORE;
  const passwordAt = 3 + userLength;
  const passwordLength = bytes[passwordAt - 1];
  if (passwordLength === undefined || bytes.length < passwordAt + passwordLength) return MORE;
  const length = passwordAt + passwordLength;
  const value = {
    user: Buffer.from(bytes.subarray(2, 2 + userLength)),
    password: Buffer.from(bytes.subarray(passwordAt, length)),
  };
  return { kind: 'done', value, length };
}

export function parseRequest(bytes: Buffer): Parsed<SocksRequest> {
  const [version, command, , type, first] = bytes;
  if (version === undefined) return MORE;
  if (version !== VERSION) return { kind: 'wrong', why: `SOCKS version ${version}, 5 expected` };
  if (command === undefined || type === undefined || first === undefined) return MORE;
  const [from, size] = type === AddressType.Name ? [5, first] : [4, type === AddressType.Ipv4 ? 4 : 16];
  if (type !== AddressType.Ipv4 && type !== AddressType.Ipv6 && type !== AddressType.Name) {
    return { kind: 'wrong', why: `address type ${type}`, reply: Reply.AddressTypeNotSupported };
  }
  const length = from + size + 2;
  if (bytes.length < length) return MORE;
  const port = bytes.readUInt16BE(from + size);
  const host = bytes.subarray(from, from + size);
  const place = type === AddressType.Name ? nameOf(host) : { host: addressOf(host), isName: false };
  if (!place) return { kind: 'wrong', why: 'a name that is none', reply: Reply.GeneralFailure };
  if (port === 0) return { kind: 'wrong', why: 'port 0', reply: Reply.GeneralFailure };
  return { kind: 'done', value: { command, ...place, port }, length };
}

/**
 * Some clients write an address where a name belongs, an IPv6 one with the brackets of a URL (RFC 3986 section
 * 3.2.2): a JVM does, for a program that leaves the looking up to the proxy.
 */
function nameOf(bytes: Buffer): { host: string; isName: boolean } | undefined {
  const text = bytes.toString('latin1');
  const [, bracketed] = /^\[(.*:.*)\]$/.exec(text) ?? [];
  const address = canonicalAddress(bracketed ?? text);
  if (address !== undefined) return { host: address, isName: false };
  const named = hostName(text);
  return named.kind === 'name' ? { host: named.name, isName: true } : undefined;
}

function addressOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  return addressText([0, 4, 8, 12].map((at) => bytes.readUInt32BE(at)));
}

export function methodChoice(method: number): Buffer {
  return Buffer.from([VERSION, method]);
}

/** RFC 1929: anything but 0 is a failure, after which the server closes. */
export function loginAnswer(accepted: boolean): Buffer {
  return Buffer.from([AUTH_VERSION, accepted ? 0 : 1]);
}

/** `bound`: the end that the server connected from; zeros when it did not. */
export function requestReply(reply: Reply, bound: Endpoint = { address: '0.0.0.0', port: 0 }): Buffer {
  const isIpv6 = bound.address.includes(':');
  const address = addressBytes(bound.address).subarray(isIpv6 ? 0 : 12);
  const head = [VERSION, reply, 0, isIpv6 ? AddressType.Ipv6 : AddressType.Ipv4];
  const port = Math.min(bound.port, MAX_PORT);
  return Buffer.concat([Buffer.from(head), address, Buffer.from([port >> 8, port & 0xff])]);
}

function addressBytes(text: string): Buffer {
  const bytes = Buffer.alloc(16);
  for (const [i, word] of (addressWords(text) ?? []).entries()) bytes.writeUInt32BE(word, 4 * i);
  return bytes;
}
