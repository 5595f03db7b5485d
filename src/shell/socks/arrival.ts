/** A connection that says by SOCKS where it wants to go: asks, looks the name up, and holds it to the rules. */
import { isIPv6, type Socket } from 'node:net';
import { inTime } from '../../platform/in-time.js';
import { codeOf } from '../../platform/sockets.js';
import { canonicalAddress } from '../../wire/endpoint.js';
import type { Arrival, Dismissal } from '../arrival.js';
import type { ShellContext } from '../context.js';
import { Greeting } from '../greeting.js';
import type { SocksRoute } from '../routes.js';
import { Reply, requestReply, type SocksRequest } from './codec.js';
import { shakeHands } from './handshake.js';

/** Of a name with many. All are tried within the time that one connection may take. */
const MAX_ADDRESSES = 4;

/** What the system or the shell says, in the words of RFC 1928 section 6; nobody answering is an unreachable host. */
const REPLIES: Readonly<Record<string, Reply>> = {
  ECONNREFUSED: Reply.ConnectionRefused,
  ENETUNREACH: Reply.NetworkUnreachable,
  EHOSTUNREACH: Reply.HostUnreachable,
  ETIMEDOUT: Reply.HostUnreachable,
  SUT_TIMEOUT: Reply.HostUnreachable,
};

export async function socksArrival(
  socket: Socket,
  route: SocksRoute,
  context: ShellContext,
  deadline: AbortSignal,
): Promise<Arrival | Dismissal> {
  const { counters, limited } = context;
  const greeting = new Greeting(socket, { limit: context.greetingBytes, deadline });
  try {
    const hands = await shakeHands(socket, greeting, route.users);
    if (hands.kind === 'over') {
      counters.greetingFailed += 1;
      limited.warn('socks', { why: hands.why, client: socket.remoteAddress }, 'SOCKS handshake failed');
      return { kind: 'dismissal', words: hands.words };
    }
    const addresses = await allowedAddresses(
      hands.request,
      route,
      context,
      isIPv6(socket.localAddress ?? ''),
    );
    if (typeof addresses === 'number') return { kind: 'dismissal', words: requestReply(addresses) };
    const { port } = hands.request;
    const accepted = canonicalAddress(socket.localAddress ?? '');
    const targets = addresses.map((address) => route.targetFor({ address, port }, accepted));
    return {
      kind: 'arrival',
      route,
      type: 'socks5',
      name: hands.request.isName ? hands.request.host : undefined,
      targets: await Promise.all(targets),
      early: greeting.rest,
      consumed: greeting.consumed,
      written: hands.written,
      accept: (bound) => requestReply(Reply.Succeeded, bound),
      refuse: (error) => requestReply(REPLIES[codeOf(error)] ?? Reply.GeneralFailure),
    };
  } finally {
    greeting.close();
  }
}

/** Those of the family that can be stitched come first. Otherwise what the client is to be told. */
async function allowedAddresses(
  { host, isName, port }: SocksRequest,
  { allowed }: SocksRoute,
  { counters, limited, clock, connectTimeoutMs, resolve }: ShellContext,
  preferIpv6: boolean,
): Promise<readonly string[] | Reply> {
  let found: readonly string[] = [host];
  if (isName) {
    found = allowed.mayAllow(port) ? ((await inTime(clock, connectTimeoutMs, resolve(host))) ?? []) : [];
    if (found.length === 0 && allowed.mayAllow(port)) return Reply.HostUnreachable;
  }
  const usable = found.filter((address) => allowed.allows(address, port, isName ? host : undefined));
  if (usable.length === 0) {
    counters.notAllowed += 1;
    limited.warn('not allowed', { host, port, addresses: found }, 'SOCKS: no rule of the route allows it');
    return Reply.NotAllowed;
  }
  const rank = (address: string): number => (isIPv6(address) === preferIpv6 ? 0 : 1);
  return [...usable].sort((a, b) => rank(a) - rank(b)).slice(0, MAX_ADDRESSES);
}
