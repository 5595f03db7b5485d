/**
 * The endpoints that a core agent offers and listens on itself: inner connections come in here, each with the
 * token of the stream that it goes on with.
 *
 * What always holds: a connection that does not say its token, and nothing else, in time is reset; nothing of it
 * reaches the local server.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { listenError } from '../midcom/link/server.js';
import { PREFIX_BYTES, tokenOf } from '../midcom/link/token.js';
import type { Clock } from '../platform/clock.js';
import { keepaliveOptions, resetSocket } from '../platform/sockets.js';
import type { Endpoint } from '../wire/endpoint.js';

const TOKEN_MS = 10_000;
/** Connections at a time that have not said their token. */
const MAX_WAITING = 1024;
const KEEPALIVE_MS = 60_000;

export interface DoorsOptions {
  readonly offers: readonly Endpoint[];
  readonly clock: Clock;
  /** Paused; its token has been read and nothing else. False: nobody waits for it. */
  readonly onInner: (token: Buffer, inner: Socket) => boolean;
  readonly onStranger: () => void;
}

export class Doors {
  readonly #options: DoorsOptions;
  readonly #servers: Server[] = [];
  readonly #waiting = new Set<Socket>();

  constructor(options: DoorsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    for (const offer of this.#options.offers) this.#servers.push(await this.#listen(offer));
  }

  stop(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#waiting) resetSocket(socket);
  }

  #listen(offer: Endpoint): Promise<Server> {
    const { address: host, port } = offer;
    const keepalive = keepaliveOptions(KEEPALIVE_MS);
    const options = { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, ...keepalive };
    const server = createServer(options, (socket) => this.#accept(socket));
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(listenError(offer, error)));
      server.listen({ host, port, ipv6Only: true }, () => {
        server.removeAllListeners('error');
        server.on('error', () => {});
        resolve(server);
      });
    });
  }

  #accept(socket: Socket): void {
    // Whoever gets it adds a listener of their own; an error before that shows as `destroyed`.
    socket.on('error', () => {});
    if (this.#waiting.size >= MAX_WAITING) {
      this.#turnAway(socket);
      return;
    }
    this.#waiting.add(socket);
    const told = new AbortController();
    socket.once('close', () => told.abort());
    this.#options.clock.sleep(TOKEN_MS, told.signal).then(
      () => this.#turnAway(socket),
      () => {},
    );
    let prefix = Buffer.alloc(0);
    const onEnd = (): void => this.#turnAway(socket);
    const onData = (chunk: Buffer): void => {
      prefix = Buffer.concat([prefix, chunk]);
      if (prefix.length < PREFIX_BYTES) return;
      socket.pause();
      socket.off('data', onData);
      socket.off('end', onEnd);
      told.abort();
      this.#waiting.delete(socket);
      // Nothing may follow it before the core has said that it has come.
      const token = tokenOf(prefix);
      if (!token || !this.#options.onInner(token, socket)) this.#turnAway(socket);
    };
    socket.on('data', onData);
    socket.once('end', onEnd);
    socket.once('close', () => this.#waiting.delete(socket));
    socket.resume();
  }

  #turnAway(socket: Socket): void {
    this.#options.onStranger();
    resetSocket(socket);
  }
}
