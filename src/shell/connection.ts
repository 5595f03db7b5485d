/**
 * The life of one connection that a peer opened: pair it with the switch, reach the core, relay, have it
 * stitched when its route's policy says so, and let go of the sockets once the switch carries it.
 *
 * What always holds: the switch has answered the pair request before the inner connection's SYN goes out,
 * so it sees that handshake from its beginning (and a refusal of the switch costs the connection nothing: it
 * is relayed). A connection that can't reach its core is reset.
 */
import type { Socket } from 'node:net';
import type { ConnectionEndpoints, StitchOffsets } from '../flow/endpoints.js';
import { asSutureError, type ErrorCode } from '../platform/errors.js';
import { canonicalAddress, type Endpoint, formatEndpoint } from '../wire/endpoint.js';
import type { ShellContext } from './context.js';
import type { HeldFlow } from './flows.js';
import { type Decision, decide, needsPackets } from './policy.js';
import { Relay } from './relay.js';
import type { Route } from './routes.js';
import { codeOf, isPortBusy, openConnection, resetSocket } from './sockets.js';
import type { Candidate } from './stitcher.js';

/** Reserved ports that are tried for one connection before it is opened without one. */
const PORT_ATTEMPTS = 8;
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

/** This version relays from the first byte on, so no byte is consumed or injected. */
const OFFSETS: StitchOffsets = {
  consumedFromPeer: 0,
  injectedToCore: 0,
  consumedFromCore: 0,
  injectedToPeer: 0,
};

interface Inner {
  readonly socket: Socket;
  readonly flow: HeldFlow | undefined;
}

export class Connection implements Candidate {
  readonly #outer: Socket;
  readonly #route: Route;
  readonly #context: ShellContext;
  readonly #acceptedAt: number;
  readonly #abort = new AbortController();
  #relay: Relay | undefined;
  #flow: HeldFlow | undefined;
  #attempts = 0;
  #notBefore = 0;
  #relayedSince = 0;
  /** The relay was given up, to the switch or with a broken flow. */
  #letGo = false;

  constructor(outer: Socket, route: Route, context: ShellContext) {
    this.#outer = outer;
    this.#route = route;
    this.#context = context;
    this.#acceptedAt = context.clock.monotonic();
  }

  get needsPackets(): boolean {
    return needsPackets(this.#route.stitch);
  }

  /** Resolves when both sockets are closed, which is not the end of a stitched flow. Never rejects. */
  async run(): Promise<void> {
    const { counters } = this.#context;
    counters.accepted += 1;
    counters.open += 1;
    // Until the relay listens, an error of the peer's socket shows as `destroyed`.
    this.#outer.on('error', () => {});
    try {
      const inner = await this.#open();
      if (inner) await this.#relayWith(inner);
    } finally {
      resetSocket(this.#outer);
      counters.open -= 1;
    }
  }

  /** Ends it now, with a reset at both ends. */
  abort(): void {
    this.#abort.abort(new Error('the shell is stopping'));
    if (this.#relay) this.#relay.reset();
    else resetSocket(this.#outer);
  }

  /** Reaches the core, from a reserved port when there is a chance of a stitch; undefined when it failed. */
  async #open(): Promise<Inner | undefined> {
    const outer = endpointsOf(this.#outer);
    try {
      if (outer && this.#wantsFlow()) {
        for (let attempt = 0; attempt < PORT_ATTEMPTS; attempt++) {
          const tried = await this.#openPaired(outer);
          if (tried === 'unpaired') break;
          if (tried !== 'busy') return tried;
        }
      }
      return { socket: await this.#connect(undefined), flow: undefined };
    } catch (error) {
      if (this.#abort.signal.aborted) return undefined;
      const fields = { core: formatEndpoint(this.#route.core), code: codeOf(error) };
      this.#context.counters.coreFailed += 1;
      this.#context.limited.warn('core', fields, 'core not reached; the peer is reset');
      return undefined;
    }
  }

  #wantsFlow(): boolean {
    if (this.#route.stitch === 'never' || !this.#route.pool) return false;
    if (this.#context.client.ready) return true;
    this.#context.counters.switchAbsent += 1;
    return false;
  }

  async #openPaired(outer: ConnectionEndpoints): Promise<Inner | 'busy' | 'unpaired'> {
    const { book, counters, limited } = this.#context;
    const { core, sourceAddress, pool } = this.#route;
    const lease = pool?.take();
    if (!lease) {
      counters.portsExhausted += 1;
      limited.warn('ports', { address: sourceAddress }, 'no reserved port is free; relayed without a stitch');
      return 'unpaired';
    }
    const local = { address: sourceAddress, port: lease.port };
    let flow: HeldFlow;
    try {
      flow = await book.pair(outer, { local, remote: core }, lease);
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
      return { socket: await this.#connect(lease.port), flow };
    } catch (error) {
      const busy = isPortBusy(error);
      book.socketsClosed(flow, { timeWait: busy });
      if (!busy) throw error;
      counters.portsBusy += 1;
      return 'busy';
    }
  }

  #connect(localPort: number | undefined): Promise<Socket> {
    const { core, sourceAddress } = this.#route;
    const { connectTimeoutMs: timeoutMs, clock } = this.#context;
    const { signal } = this.#abort;
    return openConnection({ to: core, localAddress: sourceAddress, localPort, timeoutMs, signal }, clock);
  }

  async #relayWith({ socket, flow }: Inner): Promise<void> {
    const { counters, stitcher, book, log, bufferBytes } = this.#context;
    counters.relayed += 1;
    const relay = new Relay(this.#outer, socket, bufferBytes);
    this.#relay = relay;
    this.#relayedSince = this.#context.clock.monotonic();
    relay.start();
    if (flow) {
      this.#flow = flow;
      flow.onChange = () => this.#onFlowChange(flow, relay);
      this.#onFlowChange(flow, relay);
      stitcher.wait(this);
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
    if (!snapshot || !this.#relay || over || (state !== 'watched' && state !== 'relayed')) return 'never';
    if (now < this.#notBefore) return 'wait';
    if (state === 'watched' && now < this.#relayedSince + ESTABLISH_MS) return 'wait';
    return decide(this.#route.stitch, {
      bytes: this.#relay.bytesUp + this.#relay.bytesDown,
      age: now - this.#acceptedAt,
      packets: snapshot.up.packets + snapshot.down.packets,
      shellLoad,
    });
  }

  stitch(): void {
    const { book, clock, counters, limited, stitcher } = this.#context;
    const flow = this.#flow;
    if (!flow) return;
    this.#attempts += 1;
    counters.stitchAsked += 1;
    book.enable(flow, OFFSETS, this.#route.teardown).catch((error: unknown) => {
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

/** Both ends of an accepted socket; undefined when the peer has gone, or for addresses with a zone. */
function endpointsOf(socket: Socket): ConnectionEndpoints | undefined {
  const local = endpoint(socket.localAddress, socket.localPort);
  const remote = endpoint(socket.remoteAddress, socket.remotePort);
  return local && remote ? { local, remote } : undefined;
}

function endpoint(text: string | undefined, port: number | undefined): Endpoint | undefined {
  const address = text === undefined ? undefined : canonicalAddress(text);
  return address === undefined || port === undefined ? undefined : { address, port };
}
