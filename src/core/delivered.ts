/**
 * One connection that came by a link: from the link to the local server, and later from an inner connection to
 * the same server, without the server noticing.
 *
 * What always holds: the shell decides. Nothing of a stream goes by the inner connection before the shell has
 * said from which byte on it does; then this end says the same of its own direction, and the stream ends.
 */
import type { Socket } from 'node:net';
import { type ControlType, FrameType, linkFault } from '../midcom/link/codec.js';
import { LinkedRelay } from '../midcom/link/linked-relay.js';
import type { OfferedStream } from '../midcom/link/server.js';
import { Status } from '../midcom/link/service.js';
import type { TokenBook } from '../midcom/link/token.js';
import type { Clock } from '../platform/clock.js';
import type { CoreMove, HostPort } from '../platform/config/index.js';
import type { Logger } from '../platform/log.js';
import { Relay } from '../platform/relay.js';
import { codeOf, keepaliveOptions, openConnection, resetSocket } from '../platform/sockets.js';
import type { DeliveryCounters } from './stats.js';

const NO_BYTES = Buffer.alloc(0);
const KEEPALIVE_MS = 60_000;
/** An ask that had no effect is repeated: the shell may have been without a port, or its switch away. */
const ASK_AGAIN_MS = 5_000;

export interface DeliveryContext {
  readonly deliver: HostPort;
  readonly bufferBytes: number;
  readonly connectTimeoutMs: number;
  readonly move: CoreMove;
  readonly tokens: TokenBook<Delivered>;
  readonly counters: DeliveryCounters;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Delivered {
  readonly #offered: OfferedStream;
  readonly #context: DeliveryContext;
  readonly #since: number;
  readonly #abort = new AbortController();
  #linked: LinkedRelay | undefined;
  #server: Socket | undefined;
  #relay: Relay | undefined;
  #token: Buffer | undefined;
  #inner: Socket | undefined;
  #notBefore = 0;

  constructor(offered: OfferedStream, context: DeliveryContext) {
    this.#offered = offered;
    this.#context = context;
    this.#since = context.clock.monotonic();
  }

  /** Resolves when the connection is over. Never rejects. */
  async run(): Promise<void> {
    const { counters, log } = this.#context;
    const server = await this.#reachServer();
    if (!server) return;
    const frames = this.#offered.accept();
    if (!frames) {
      resetSocket(server);
      return;
    }
    counters.delivered += 1;
    this.#server = server;
    const linked = new LinkedRelay(server, frames, {
      bufferBytes: this.#context.bufferBytes,
      onControl: (type, payload) => this.#onControl(type, payload),
      onFarLeft: () => this.#onFarLeft(linked),
    });
    this.#linked = linked;
    linked.start(NO_BYTES);
    const end = await linked.closed;
    this.#forgetToken();
    if (!end.moved) this.#dropInner();
    // After a move that was half done too: its sockets end like those of any relay.
    await this.#relay?.closed;
    log.debug({ peer: this.#offered.peer, ...end }, 'delivered connection is over');
  }

  /** The inner connection of this stream has come, with its token. */
  attach(token: Buffer, inner: Socket): void {
    const linked = this.#linked;
    if (!linked || this.#inner || linked.moved) {
      resetSocket(inner);
      return;
    }
    this.#inner = inner;
    linked.send(FrameType.Attached, token);
  }

  /** Asks the shell for the move when this core's policy says so. */
  considerMove(now: number): void {
    const { counters, move } = this.#context;
    const linked = this.#linked;
    if (move === 'never' || !linked?.open || this.#token || this.#inner || now < this.#notBefore) return;
    if (move !== 'now') {
      const { bytes = 0, age = 0 } = move.after;
      if (linked.sent + linked.received < bytes || now - this.#since < age) return;
    }
    this.#notBefore = now + ASK_AGAIN_MS;
    counters.moveAsked += 1;
    linked.send(FrameType.Ask);
  }

  reset(): void {
    this.#abort.abort(new Error('the core agent is stopping'));
    this.#linked?.reset();
    this.#relay?.reset();
  }

  async #reachServer(): Promise<Socket | undefined> {
    const { clock, connectTimeoutMs: timeoutMs, counters, deliver, log } = this.#context;
    const signal = AbortSignal.any([this.#offered.gone, this.#abort.signal]);
    const keepalive = keepaliveOptions(KEEPALIVE_MS);
    try {
      return await openConnection({ to: deliver, timeoutMs, keepalive, signal }, clock);
    } catch (error) {
      counters.serverFailed += 1;
      if (!signal.aborted) log.warn({ deliver, code: codeOf(error) }, 'the local server was not reached');
      this.#offered.refuse(Status.NoServer);
      return undefined;
    }
  }

  #onControl(type: ControlType, token: Buffer): void {
    if (type === FrameType.Prepare) {
      this.#onPrepare(token);
      return;
    }
    if (type !== FrameType.Abandon) throw linkFault(`a frame of type ${type}, which is not for a core`);
    this.#forgetToken();
    this.#dropInner();
  }

  #onPrepare(token: Buffer): void {
    this.#forgetToken();
    this.#dropInner();
    const taken = this.#context.tokens.add(token, this);
    if (taken) this.#token = token;
    this.#linked?.send(taken ? FrameType.Prepared : FrameType.Refused, token);
  }

  /** All bytes of the link have been written to the server; what follows is on the inner connection. */
  #onFarLeft(linked: LinkedRelay): void {
    const { bufferBytes, counters } = this.#context;
    const [inner, server] = [this.#inner, this.#server];
    if (!inner || !server) throw linkFault('a position to leave at, without an inner connection');
    counters.moved += 1;
    const relay = new Relay(inner, server, { bufferBytes, opened: 'inner', early: NO_BYTES });
    this.#relay = relay;
    if (!relay.watch()) return;
    relay.startUp();
    linked.leave();
    relay.startDown();
  }

  #forgetToken(): void {
    if (this.#token) this.#context.tokens.drop(this.#token);
    this.#token = undefined;
  }

  #dropInner(): void {
    if (this.#inner && !this.#relay) resetSocket(this.#inner);
    if (!this.#relay) this.#inner = undefined;
  }
}
