/**
 * Opens the second connection of a flow: from a reserved port and paired with the first one when it may be
 * stitched, otherwise from wherever the kernel likes.
 *
 * What always holds: the switch has answered the pair request before the second connection's SYN goes out, so
 * it sees that handshake from its beginning. A refusal of the switch costs nothing: the connection is relayed.
 */
import type { Socket } from 'node:net';
import type { ConnectionEndpoints } from '../flow/endpoints.js';
import type { FlowEnd } from '../midcom/port.js';
import { asSutureError, SutureError } from '../platform/errors.js';
import { codeOf, isPortBusy, openConnection } from '../platform/sockets.js';
import { formatEndpoint } from '../wire/endpoint.js';
import type { ShellContext } from './context.js';
import type { HeldFlow } from './flows.js';
import type { Target } from './routes.js';

/** Reserved ports that are tried for one connection before it is opened without one. */
const PORT_ATTEMPTS = 8;

export interface Opened {
  readonly socket: Socket;
  readonly flow: HeldFlow | undefined;
}

export interface ReachRequest {
  /** In the order in which they are tried. */
  readonly targets: readonly Target[];
  /** The first connection; undefined when it can't be named, and so not be paired. */
  readonly first: ConnectionEndpoints | undefined;
  /** The end that opened the first connection. */
  readonly openedBy: FlowEnd;
  readonly signal: AbortSignal;
}

interface OpenRequest extends Omit<ReachRequest, 'targets'> {
  readonly target: Target;
  readonly timeoutMs: number;
}

/**
 * Connects to the first target that can be reached, in the time that one connection may take. Rejects with what
 * the system said of the last one, or with SUT_TIMEOUT.
 */
export async function reach({ targets, ...request }: ReachRequest, context: ShellContext): Promise<Opened> {
  const { clock, connectTimeoutMs, counters, limited } = context;
  const until = clock.monotonic() + connectTimeoutMs;
  let failure: unknown;
  for (const [i, target] of targets.entries()) {
    // What is left, shared among those that are left.
    const timeoutMs = (until - clock.monotonic()) / (targets.length - i);
    if (timeoutMs <= 0) break;
    try {
      return await openSecond({ ...request, target, timeoutMs }, context);
    } catch (error) {
      request.signal.throwIfAborted();
      failure = error;
      const what = request.openedBy === 'peer' ? 'core' : 'peer';
      counters[`${what}Failed`] += 1;
      const fields = { [what]: formatEndpoint(target.to), code: codeOf(error) };
      limited.warn(what, fields, `${what} not reached`);
    }
  }
  throw failure ?? new SutureError('SUT_TIMEOUT', 'there was no time to connect');
}

async function openSecond(request: OpenRequest, context: ShellContext): Promise<Opened> {
  const { first, target } = request;
  if (first && wantsFlow(target, context)) {
    for (let attempt = 0; attempt < PORT_ATTEMPTS; attempt++) {
      const tried = await openPaired(first, request, context);
      if (tried === 'unpaired') break;
      if (tried !== 'busy') return tried;
    }
  }
  return { socket: await connect(undefined, request, context), flow: undefined };
}

function wantsFlow({ pool }: Target, { client, counters }: ShellContext): boolean {
  if (!pool) return false;
  if (client.ready) return true;
  counters.switchAbsent += 1;
  return false;
}

async function openPaired(
  first: ConnectionEndpoints,
  request: OpenRequest,
  context: ShellContext,
): Promise<Opened | 'busy' | 'unpaired'> {
  const { book, counters, limited } = context;
  const { to, sourceAddress, pool } = request.target;
  const lease = pool?.take();
  if (!lease) {
    counters.portsExhausted += 1;
    limited.warn('ports', { address: sourceAddress }, 'no reserved port is free; relayed without a stitch');
    return 'unpaired';
  }
  const second = { local: { address: sourceAddress, port: lease.port }, remote: to };
  let flow: HeldFlow;
  try {
    flow = await book.pair({ first, second, openedBy: request.openedBy }, lease);
  } catch (error) {
    const { code, message } = asSutureError(error);
    if (code === 'SUT_FLOW_EXISTS' || code === 'SUT_CONFLICT') {
      counters.portsBusy += 1;
      return 'busy';
    }
    counters.notPaired += 1;
    limited.warn(`pair ${code}`, { code, cause: message }, 'not paired; relayed without a stitch');
    return 'unpaired';
  }
  try {
    return { socket: await connect(lease.port, request, context), flow };
  } catch (error) {
    const busy = isPortBusy(error);
    book.socketsClosed(flow, { timeWait: busy });
    if (!busy) throw error;
    counters.portsBusy += 1;
    return 'busy';
  }
}

function connect(
  localPort: number | undefined,
  request: OpenRequest,
  context: ShellContext,
): Promise<Socket> {
  const { target, timeoutMs, signal } = request;
  const { to, sourceAddress: localAddress } = target;
  const { clock, keepalive } = context;
  return openConnection({ to, localAddress, localPort, timeoutMs, keepalive, signal }, clock);
}
