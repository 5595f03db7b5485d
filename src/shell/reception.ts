/** Finds out what an accepted connection wants, in the way of its listener and in the time that there is for it. */
import type { Socket } from 'node:net';
import { type Arrival, type Dismissal, NO_BYTES, plainArrival } from './arrival.js';
import type { ShellContext } from './context.js';
import { namedArrival } from './names/arrival.js';
import { type Listener, mayCome } from './routes.js';
import { socksArrival } from './socks/arrival.js';

const DISMISSED: Dismissal = { kind: 'dismissal', words: NO_BYTES };

export async function receive(
  socket: Socket,
  listener: Listener,
  context: ShellContext,
  signal: AbortSignal,
): Promise<Arrival | Dismissal> {
  // Nobody is asked anything who may not come at all.
  if (listener.kind !== 'named' && !mayCome(listener.route, socket.remoteAddress)) {
    return turnAway(socket, context);
  }
  if (listener.kind === 'fixed') return plainArrival(listener.route);
  const { clock, greetingTimeoutMs } = context;
  const over = new AbortController();
  const late = new AbortController();
  clock.sleep(greetingTimeoutMs, over.signal).then(
    () => late.abort(),
    () => {},
  );
  const deadline = AbortSignal.any([late.signal, signal]);
  try {
    if (listener.kind === 'socks5') return await socksArrival(socket, listener.route, context, deadline);
    const arrival = await namedArrival(socket, listener, context, deadline);
    const isFor = arrival.kind === 'dismissal' || mayCome(arrival.route, socket.remoteAddress);
    return isFor ? arrival : turnAway(socket, context);
  } finally {
    over.abort();
  }
}

function turnAway({ localPort, remoteAddress }: Socket, { counters, limited }: ShellContext): Dismissal {
  counters.rejected += 1;
  limited.warn(
    'from',
    { port: localPort, client: remoteAddress },
    'a client that the route is not for is reset',
  );
  return DISMISSED;
}
