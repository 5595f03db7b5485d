/**
 * The life of one connection that came to the shell: find out where it wants to go, open the second connection,
 * relay, have the two stitched when the route's policy says so, and let go of the sockets once the switch
 * carries them.
 *
 * What always holds: a connection that can't be served is reset, or told so where its protocol has words for it.
 */
import type { Socket } from 'node:net';
import type { ConnectionEndpoints, StitchOffsets } from '../flow/endpoints.js';
import { asSutureError, type ErrorCode } from '../platform/errors.js';
import { Relay } from '../platform/relay.js';
import { closeWithWords, resetSocket } from '../platform/sockets.js';
import { canonicalAddress, type Endpoint } from '../wire/endpoint.js';
import { type Arrival, NO_BYTES } from './arrival.js';
import type { ShellContext } from './context.js';
import type { HeldFlow } from './flows.js';
import { LinkedPhase } from './linked.js';
import { type Opened, reach } from './opening.js';
import { type Decision, Judge, minuteOfDay, needsPackets } from './policy.js';
import { proxyHeader } from './proxy-header.js';
import { receive } from './reception.js';
import type { FixedRoute, LinkRoute, Listener } from './routes.js';
import type { Candidate } from './stitcher.js';

const ENABLE_ATTEMPTS = 5;
const ENABLE_RETRY_MS = 1_000;
/** The switch says within a packet or two that it has seen both handshakes; then it is asked all the same. */
const ESTABLISH_MS = 1_000;

/** After these the same request may succeed later. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'SUT_TIMEOUT',
  'SUT_SESSION_STATE',
  'SUT_LIMIT',
  'SUT_TABLE_UNAVAILABLE',
]);

const NO_OFFSETS: StitchOffsets = {
  consumedFromPeer: 0,
  injectedToCore: 0,
  consumedFromCore: 0,
  injectedToPeer: 0,
};

export class Connection implements Candidate {
  readonly #accepted: Socket;
  readonly #listener: Listener;
  readonly #context: ShellContext;
  readonly #acceptedAt: number;
  readonly #abort = new AbortController();
  /** Known once it has said what it wants. */
  #arrival: Arrival | undefined;
  #judge: Judge | undefined;
  /** Before it has a second connection, on a route via a link. */
  #linked: LinkedPhase | undefined;
  #relay: Relay | undefined;
  #flow: HeldFlow | undefined;
  #offsets = NO_OFFSETS;
  /** What a link had carried. */
  #bytesBefore = 0;
  #attempts = 0;
  #notBefore = 0;
  #relayedSince = 0;
  /** The relay was given up, to the switch or with a broken flow. */
  #letGo = false;

  constructor(accepted: Socket, listener: Listener, context: ShellContext) {
    this.#accepted = accepted;
    this.#listener = listener;
    this.#context = context;
    this.#acceptedAt = context.clock.monotonic();
  }

  get needsPackets(): boolean {
    return this.#arrival !== undefined && needsPackets(this.#arrival.route.stitch);
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
    const { remoteAddress, remotePort } = this.#accepted;
    const mine = endpoint(remoteAddress, remotePort);
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
    const { remoteAddress, remotePort } = this.#accepted;
    return proxyHeader(endpoint(remoteAddress, remotePort), localEnd(this.#accepted));
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
      const ready = settled.then((offsets) => {
        if (!offsets) return false;
        this.#offsets = offsets;
        this.#bytesBefore = linked.bytesUp + linked.bytesDown;
        return true;
      });
      await this.#carry(relay, flow, arrival, ready);
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
    this.#offsets = byPeer
      ? {
          ...NO_OFFSETS,
          consumedFromPeer: consumed,
          injectedToPeer: written,
          injectedToCore: prefix.length,
        }
      : { ...NO_OFFSETS, consumedFromCore: consumed, injectedToCore: written };
    const relay = new Relay(outer, inner, { bufferBytes, opened: byPeer ? 'inner' : 'outer', early });
    relay.start();
    await this.#carry(relay, flow, arrival);
  }

  /** Until both sockets are closed. `ready`: when it may be stitched, if that is not at once. */
  async #carry(
    relay: Relay,
    flow: HeldFlow | undefined,
    arrival: Arrival,
    ready?: Promise<boolean>,
  ): Promise<void> {
    const { counters, stitcher, book, log } = this.#context;
    this.#arrival = arrival;
    this.#judge = new Judge(arrival.route.stitch);
    this.#relay = relay;
    this.#relayedSince = this.#context.clock.monotonic();
    if (flow) {
      this.#flow = flow;
      flow.onChange = () => this.#onFlowChange(flow, relay);
      this.#onFlowChange(flow, relay);
      if (!ready) stitcher.wait(this);
      else void ready.then((may) => may && !flow.socketsClosed && stitcher.wait(this));
    }
    const end = await relay.closed;
    stitcher.forget(this);
    counters.bytesUp += end.up;
    counters.bytesDown += end.down;
    if (flow) book.socketsClosed(flow, { timeWait: end.timeWait });
    log.debug({ flow: flow?.id, state: flow?.state, ...end }, 'no longer relayed');
  }

  decide(now: number, shellLoad: number): Decision {
    const { snapshot, over = true, state } = this.#flow ?? {};
    const arrival = this.#arrival;
    if (
      !snapshot ||
      !this.#relay ||
      !arrival ||
      !this.#judge ||
      over ||
      (state !== 'watched' && state !== 'relayed')
    )
      return 'never';
    if (now < this.#notBefore) return 'wait';
    if (state === 'watched' && now < this.#relayedSince + ESTABLISH_MS) return 'wait';
    return this.#judge.decide({
      bytes: this.#bytesBefore + this.#relay.bytesUp + this.#relay.bytesDown,
      age: now - this.#acceptedAt,
      packets: snapshot.up.packets + snapshot.down.packets,
      shellLoad,
      timeOfDay: minuteOfDay(this.#context.clock.wall()),
      type: arrival.type,
      name: arrival.name,
    });
  }

  stitch(): void {
    const { book, clock, counters, limited, stitcher } = this.#context;
    const flow = this.#flow;
    const arrival = this.#arrival;
    if (!flow || !arrival) return;
    this.#attempts += 1;
    counters.stitchAsked += 1;
    const cause = this.#judge?.cause ?? [];
    book.enable(flow, this.#offsets, arrival.route.teardown, cause).catch((error: unknown) => {
      const { code, message } = asSutureError(error);
      limited.warn(`enable ${code}`, { flow: flow.id, code, cause: message }, 'not stitched');
      if (!PASSING.has(code) || this.#attempts >= ENABLE_ATTEMPTS || flow.socketsClosed) return;
      this.#notBefore = clock.monotonic() + ENABLE_RETRY_MS;
      stitcher.wait(this);
    });
  }

  /** The switch told something of this flow, or has lost it. */
  #onFlowChange(flow: HeldFlow, relay: Relay): void {
    const { counters, limited, log, stitcher } = this.#context;
    const { id, state, reason } = flow;
    log.debug({ flow: id, state, reason }, 'flow');
    if (this.#letGo || flow.socketsClosed) return;
    if (flow.wasIn('stitched')) {
      counters.stitched += 1;
      this.#handOver(flow, relay);
    } else if (state === 'broken' || (flow.over && flow.wasCut)) {
      // Ended between cut and drain: bytes above the cut never came here, so the relay can't go on.
      counters.broken += 1;
      limited.warn('broken', { flow: id, state, reason }, 'flow ended in the middle of its handover; reset');
      this.#letGo = true;
      relay.reset();
    } else if (state === 'refused') {
      counters.refused += 1;
      limited.warn(`refused ${reason}`, { flow: id, reason }, 'stitch refused; relayed for good');
    } else if (state === 'relayed') {
      stitcher.reconsider(this);
    }
  }

  /**
   * The switch swallows the resets. All bytes below the cut have been acknowledged by the far ends, so
   * nothing can be left here.
   */
  #handOver(flow: HeldFlow, relay: Relay): void {
    const { counters, log } = this.#context;
    const { up, down } = relay.held;
    if (up + down > 0) {
      counters.heldAtStitch += 1;
      log.error({ flow: flow.id, up, down }, 'stitched with bytes still in the shell; they are lost');
    }
    this.#letGo = true;
    relay.reset();
  }
}

/** Both ends of an accepted socket; undefined when the other end has gone, or for addresses with a zone. */
function endpointsOf(socket: Socket): ConnectionEndpoints | undefined {
  if (socket.localAddress?.includes('%')) return undefined;
  const local = localEnd(socket);
  const remote = endpoint(socket.remoteAddress, socket.remotePort);
  return local && remote ? { local, remote } : undefined;
}

function localEnd({ localAddress, localPort }: Socket): Endpoint | undefined {
  return endpoint(localAddress, localPort);
}

/** Without the zone of a link-local address, which means nothing to others. */
function endpoint(text: string | undefined, port: number | undefined): Endpoint | undefined {
  const address = text === undefined ? undefined : canonicalAddress(text.split('%')[0] ?? '');
  return address === undefined || port === undefined ? undefined : { address, port };
}
