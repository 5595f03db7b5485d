/**
 * The life of one connection that came to the shell: find out where it wants to go, open the second connection, and
 * relay. How the two are stitched meanwhile is in `handing-over.ts`.
 *
 * What always holds: a connection that can't be served is reset, or told so where its protocol has words for it.
 */
import type { Socket } from 'node:net';
import { Relay } from '../platform/relay.js';
import { closeWithWords, resetSocket } from '../platform/sockets.js';
import type { Endpoint } from '../wire/endpoint.js';
import { type Arrival, NO_BYTES } from './arrival.js';
import type { ShellContext } from './context.js';
import { endpointsOf, localEnd, remoteEnd } from './ends.js';
import type { HeldFlow } from './flows.js';
import { HandingOver, NO_OFFSETS, type RelayStart } from './handing-over.js';
import { LinkedPhase } from './linked.js';
import { type Opened, reach } from './opening.js';
import { proxyHeader } from './proxy-header.js';
import { receive } from './reception.js';
import type { FixedRoute, LinkRoute, Listener } from './routes.js';

export class Connection {
  readonly #accepted: Socket;
  readonly #listener: Listener;
  readonly #context: ShellContext;
  readonly #acceptedAt: number;
  readonly #abort = new AbortController();
  /** Before it has a second connection, on a route via a link. */
  #linked: LinkedPhase | undefined;
  #relay: Relay | undefined;

  constructor(accepted: Socket, listener: Listener, context: ShellContext) {
    this.#accepted = accepted;
    this.#listener = listener;
    this.#context = context;
    this.#acceptedAt = context.clock.monotonic();
  }

  /** Resolves when both sockets are closed, which is not the end of a stitched flow. Never rejects. */
  async run(): Promise<void> {
    const { counters } = this.#context;
    counters.accepted += 1;
    counters.open += 1;
    // Until the relay listens, an error of the accepted socket shows as `destroyed`.
    this.#accepted.on('error', () => {});
    try {
      const arrival = await receive(this.#accepted, this.#listener, this.#context, this.#abort.signal);
      if (arrival.kind === 'dismissal') {
        await this.#dismiss(arrival.words);
      } else if (arrival.route.kind === 'fixed' && arrival.route.via) {
        await this.#beginOnLink(arrival, arrival.route, arrival.route.via);
      } else {
        const opened = await this.#reach(arrival);
        if (opened) await this.#relayWith(opened, arrival);
      }
    } finally {
      resetSocket(this.#accepted);
      counters.open -= 1;
    }
  }

  /** Ends it now, with a reset at both ends. */
  abort(): void {
    this.#abort.abort(new Error('the shell is stopping'));
    this.#linked?.reset();
    if (this.#relay) this.#relay.reset();
    else resetSocket(this.#accepted);
  }

  /** The switch asks that it leaves its link, if it is on one and its peer is this one. */
  askMove(peer: Endpoint | undefined): boolean {
    const mine = remoteEnd(this.#accepted);
    if (!this.#linked || this.#relay) return false;
    if (peer && (peer.address !== mine?.address || peer.port !== mine.port)) return false;
    this.#linked.ask();
    return true;
  }

  async #dismiss(words: Buffer): Promise<void> {
    if (words.length === 0) return;
    await closeWithWords(this.#accepted, words, this.#context.clock, this.#abort.signal);
  }

  /** Connects to where it wants to go; undefined when that can't be reached. */
  async #reach({ targets, route: { openedBy }, refuse }: Arrival): Promise<Opened | undefined> {
    const { signal } = this.#abort;
    const first = endpointsOf(this.#accepted);
    try {
      return await reach({ targets, first, openedBy, signal }, this.#context);
    } catch (error) {
      if (!signal.aborted) await this.#dismiss(refuse(error));
      return undefined;
    }
  }

  /** What the second connection begins with. */
  #prefix({ route }: Arrival): Buffer {
    if (route.kind !== 'fixed' || route.prepend === undefined) return NO_BYTES;
    return proxyHeader(remoteEnd(this.#accepted), localEnd(this.#accepted));
  }

  /** On a stream of a link, until it is over or leaves for a second connection. */
  async #beginOnLink(arrival: Arrival, route: FixedRoute, via: LinkRoute): Promise<void> {
    const { counters } = this.#context;
    const linked = new LinkedPhase({
      accepted: this.#accepted,
      arrival,
      route,
      via,
      first: endpointsOf(this.#accepted),
      prefix: this.#prefix(arrival),
      acceptedAt: this.#acceptedAt,
      context: this.#context,
      signal: this.#abort.signal,
    });
    this.#linked = linked;
    // No stream: it is reset, like one whose core can't be reached.
    const departure = await linked.run().catch(() => undefined);
    if (departure) {
      const { relay, flow, settled } = departure;
      const started = settled.then(
        (offsets) => offsets && { offsets, bytesBefore: linked.bytesUp + linked.bytesDown },
      );
      await this.#carry(relay, flow, arrival, started);
    }
    counters.bytesUp += linked.bytesUp;
    counters.bytesDown += linked.bytesDown;
  }

  async #relayWith({ socket, flow }: Opened, arrival: Arrival): Promise<void> {
    const { counters, bufferBytes } = this.#context;
    counters.relayed += 1;
    const accepted = this.#accepted;
    const words = arrival.accept(localEnd(socket));
    if (words.length > 0) accepted.write(words);
    const prefix = this.#prefix(arrival);
    if (prefix.length > 0) socket.write(prefix);
    const byPeer = arrival.route.openedBy === 'peer';
    const [outer, inner] = byPeer ? [accepted, socket] : [socket, accepted];
    const { consumed, early } = arrival;
    const written = arrival.written + words.length;
    const offsets = byPeer
      ? {
          ...NO_OFFSETS,
          consumedFromPeer: consumed,
          injectedToPeer: written,
          injectedToCore: prefix.length,
        }
      : { ...NO_OFFSETS, consumedFromCore: consumed, injectedToCore: written };
    const relay = new Relay(outer, inner, { bufferBytes, opened: byPeer ? 'inner' : 'outer', early });
    relay.start();
    await this.#carry(relay, flow, arrival, { offsets, bytesBefore: 0 });
  }

  /** Until both sockets are closed. `started`: from when it may be stitched; never, if it comes to nothing. */
  async #carry(
    relay: Relay,
    flow: HeldFlow | undefined,
    arrival: Arrival,
    started: RelayStart | Promise<RelayStart | undefined>,
  ): Promise<void> {
    const { counters, book, log } = this.#context;
    const [acceptedAt, context] = [this.#acceptedAt, this.#context];
    this.#relay = relay;
    const handingOver = flow && new HandingOver({ flow, relay, arrival, acceptedAt, context });
    if (started instanceof Promise) void started.then((start) => start && handingOver?.begin(start));
    else handingOver?.begin(started);
    const end = await relay.closed;
    handingOver?.end();
    counters.bytesUp += end.up;
    counters.bytesDown += end.down;
    if (flow) book.socketsClosed(flow, { timeWait: end.timeWait });
    log.debug({ flow: flow?.id, state: flow?.state, ...end }, 'no longer relayed');
  }
}
