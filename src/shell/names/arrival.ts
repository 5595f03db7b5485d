/** A connection whose first bytes say which of a listener's routes it is for. They are only looked at. */
import type { Socket } from 'node:net';
import { type Arrival, type Dismissal, NO_BYTES, plainArrival } from '../arrival.js';
import type { ShellContext } from '../context.js';
import { Greeting } from '../greeting.js';
import type { NamedListener } from '../routes.js';
import { type Recognized, recognize } from './recognize.js';

type Kind = Exclude<Recognized, { kind: 'more' }>;

export async function namedArrival(
  socket: Socket,
  { names, rest }: NamedListener,
  context: ShellContext,
  deadline: AbortSignal,
): Promise<Arrival | Dismissal> {
  const { counters, limited, greetingBytes } = context;
  const greeting = new Greeting(socket, { limit: greetingBytes, deadline });
  try {
    const found = await hear(greeting);
    if (!found) {
      counters.greetingFailed += 1;
      return { kind: 'dismissal', words: NO_BYTES };
    }
    const { kind, name } = found;
    const table = kind === 'tls' ? names.sni : kind === 'http' ? names.host : undefined;
    const route = (name === undefined ? undefined : table?.find(name)) ?? rest;
    if (route) return plainArrival(route, { early: greeting.rest, type: kind, name });
    counters.unmatched += 1;
    limited.warn('unmatched', { type: kind, name, client: socket.remoteAddress }, 'no route for this name');
    return { kind: 'dismissal', words: NO_BYTES };
  } finally {
    greeting.close();
  }
}

/** Undefined when the connection is lost. Who says too little, too late or too much is nothing in particular. */
async function hear(greeting: Greeting): Promise<Kind | undefined> {
  for (;;) {
    const found = recognize(greeting.rest);
    if (found.kind !== 'more') return found;
    const heard = await greeting.more();
    if (heard === 'lost') return undefined;
    if (heard !== 'more') return { kind: 'plain' };
  }
}
