/**
 * The part of a core agent that has connections in its hands: takes streams of links, gives them to the local
 * server, and accepts the inner connections that they move to.
 */
import { LinkServer, type OfferedStream } from '../midcom/link/server.js';
import { Status } from '../midcom/link/service.js';
import { TokenBook } from '../midcom/link/token.js';
import type { Clock } from '../platform/clock.js';
import type { CoreLinkConfig, HostPort } from '../platform/config/index.js';
import type { Startable } from '../platform/lifecycle.js';
import type { Logger } from '../platform/log.js';
import { repeat } from '../platform/repeat.js';
import { type Endpoint, formatEndpoint } from '../wire/endpoint.js';
import { Delivered, type DeliveryContext } from './delivered.js';
import { Doors } from './doors.js';
import { DeliveryCounters, type DeliveryStats } from './stats.js';

/** How often the core's own policy is looked at. */
const CONSIDER_MS = 50;

export interface DeliveryOptions {
  readonly offers: readonly Endpoint[];
  readonly deliver: HostPort;
  readonly link: CoreLinkConfig;
  readonly clock: Clock;
  readonly log: Logger;
  /** The number of links or streams has changed. */
  readonly onChange: () => void;
}

export class Delivery implements Startable {
  readonly #options: DeliveryOptions;
  readonly #offers: ReadonlySet<string>;
  readonly #server: LinkServer;
  readonly #doors: Doors;
  readonly #tokens = new TokenBook<Delivered>();
  readonly #counters = new DeliveryCounters();
  readonly #connections = new Map<Delivered, Promise<void>>();
  readonly #stopped = new AbortController();
  #stopping: Promise<void> | undefined;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    const { clock, link, log, offers, onChange } = options;
    this.#offers = new Set(offers.map(formatEndpoint));
    this.#server = new LinkServer({
      listen: link.listen,
      auth: link.auth,
      streams: link.streams,
      clock,
      log,
      onStream: (stream) => this.#take(stream),
      onChange,
    });
    this.#doors = new Doors({
      offers,
      clock,
      onInner: (token, inner) => {
        const found = this.#tokens.take(token);
        found?.attach(token, inner);
        return found !== undefined;
      },
      onStranger: () => {
        this.#counters.strangers += 1;
      },
    });
  }

  get stats(): DeliveryStats {
    const { links, streams } = this.#server;
    return { ...this.#counters, links, streams, connections: this.#connections.size };
  }

  async start(): Promise<void> {
    const { clock, link, log } = this.#options;
    await this.#doors.start();
    await this.#server.start();
    const consider = (): void => {
      const now = clock.monotonic();
      for (const one of this.#connections.keys()) one.considerMove(now);
    };
    const onError = (err: unknown): void => log.error({ err }, 'asking for moves');
    if (link.move !== 'never') void repeat(clock, CONSIDER_MS, this.#stopped.signal, consider, onError);
  }

  /** Takes nothing new and lets connections end; an aborted signal, or a second stop, resets them. */
  stop(signal?: AbortSignal): Promise<void> {
    if (this.#stopping || signal?.aborted) this.#reset();
    signal?.addEventListener('abort', () => this.#reset(), { once: true });
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { clock, link, log } = this.#options;
    this.#server.stopListening();
    // Moving now would gain nothing: an inner connection goes through this process too.
    this.#doors.stop();
    this.#stopped.abort();
    if (this.#connections.size > 0) {
      log.info({ connections: this.#connections.size }, 'waiting for delivered connections');
      const timer = new AbortController();
      const limit = clock.sleep(link.drain, timer.signal).catch(() => {});
      await Promise.race([this.#allClosed(), limit]);
      timer.abort();
    }
    this.#reset();
    await this.#allClosed();
    this.#server.stop();
  }

  #reset(): void {
    for (const connection of this.#connections.keys()) connection.reset();
  }

  async #allClosed(): Promise<void> {
    while (this.#connections.size > 0) await Promise.all(this.#connections.values());
  }

  #take(offered: OfferedStream): void {
    const { link } = this.#options;
    const refusal = this.#stopped.signal.aborted
      ? Status.Stopping
      : !this.#offers.has(offered.to)
        ? Status.NotOffered
        : this.#connections.size >= link.connections
          ? Status.Full
          : undefined;
    if (refusal !== undefined) {
      this.#counters.refused += 1;
      offered.refuse(refusal);
      return;
    }
    const connection = new Delivered(offered, this.#context());
    const run = connection
      .run()
      .catch((err: unknown) =>
        this.#options.log.error({ err }, 'a delivered connection ended in an unexpected way'),
      )
      .finally(() => this.#connections.delete(connection));
    this.#connections.set(connection, run);
  }

  #context(): DeliveryContext {
    const { clock, deliver, link, log } = this.#options;
    return {
      deliver,
      bufferBytes: link.buffer,
      connectTimeoutMs: link.connect,
      move: link.move,
      tokens: this.#tokens,
      counters: this.#counters,
      clock,
      log,
    };
  }
}
