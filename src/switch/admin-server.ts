/** The admin socket of a running switch: `admin-protocol.ts` over node:http, on an injected backend. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { FLOW_STATES } from '../flow/state.js';
import { asSutureError, SutureError } from '../platform/errors.js';
import type { Startable } from '../platform/lifecycle.js';
import type { Logger } from '../platform/log.js';
import type { FlowFilter } from '../table/port.js';
import {
  type AdminBackend,
  errorView,
  flowDetail,
  flowView,
  statusOf,
  unknownFlow,
} from './admin-protocol.js';
import { listenAt } from './admin-socket.js';

const MAX_CONNECTIONS = 64;
/** A watcher that leaves this much unread is dropped, so that it can not fill the memory of the switch. */
const MAX_UNREAD = 4 * 1024 * 1024;

export interface AdminServerOptions {
  /** Path of the Unix socket. */
  readonly path: string;
  readonly backend: AdminBackend;
  readonly log: Logger;
}

export class AdminServer implements Startable {
  readonly #options: AdminServerOptions;
  readonly #server: Server;
  readonly #watchers = new Set<ServerResponse>();
  #isStopping = false;

  constructor(options: AdminServerOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  async start(): Promise<void> {
    const { path, log } = this.#options;
    await listenAt(this.#server, path);
    this.#server.on('error', (err) => log.error({ err }, 'admin socket'));
    log.debug({ path }, 'admin socket is listening');
  }

  /** Lets requests under way be answered; watchers see the end of their stream. */
  async stop(signal?: AbortSignal): Promise<void> {
    if (!this.#server.listening) return;
    this.#isStopping = true;
    for (const watcher of this.#watchers) watcher.end();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const abort = (): void => this.#server.closeAllConnections();
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
    await closed;
    signal?.removeEventListener('abort', abort);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // No request has a body that matters.
    request.resume();
    response.on('error', () => {});
    try {
      const reply = await this.#answer(request, response);
      // Who asks again and again on one connection would keep it open for ever.
      if (this.#isStopping) response.shouldKeepAlive = false;
      if (reply !== undefined) send(response, 200, reply);
    } catch (thrown) {
      const error = asSutureError(thrown);
      if (error.code === 'SUT_INTERNAL')
        this.#options.log.error({ err: thrown, url: request.url }, 'admin request');
      send(response, statusOf(error.code), errorView(error));
    }
  }

  /** The body of the reply, or undefined when it is being streamed. */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    const { backend } = this.#options;
    const url = new URL(request.url ?? '/', 'http://admin');
    const [what, id, action, ...more] = url.pathname.slice(1).split('/').map(decode);
    const route = `${request.method} ${[what, id && 'ID', action, ...more].filter((part) => part !== undefined).join('/')}`;
    switch (route) {
      case 'GET flows':
        return (await backend.flows(filterOf(url.searchParams))).map(flowView);
      case 'GET flows/ID': {
        const record = await backend.flow(id ?? '');
        if (!record) throw unknownFlow(id ?? '');
        return flowDetail(record);
      }
      case 'POST flows/ID/close':
        return flowDetail(await backend.close(id ?? ''));
      case 'GET agents':
        return backend.agents();
      case 'POST agents/ID/move':
        return backend.move(id ?? '', url.searchParams.get('peer') ?? undefined);
      case 'GET stats':
        return backend.stats();
      case 'POST promote':
        return backend.promote();
      case 'GET events':
        this.#watch(response);
        return undefined;
      default:
        throw new SutureError(
          'SUT_REQUEST_INVALID',
          `there is no ${request.method} ${url.pathname} on this socket`,
        );
    }
  }

  #watch(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    // The head goes out now: it tells the watcher that it misses nothing from here on.
    response.flushHeaders();
    const unsubscribe = this.#options.backend.onFlow((record) => {
      if (response.writableLength > MAX_UNREAD) {
        this.#options.log.warn('a watcher of flows does not read; it is dropped');
        response.destroy();
      } else if (!response.writableEnded) {
        response.write(`${JSON.stringify(flowDetail(record))}\n`);
      }
    });
    this.#watchers.add(response);
    response.on('close', () => {
      unsubscribe();
      this.#watchers.delete(response);
    });
  }
}

function filterOf(query: URLSearchParams): FlowFilter {
  const state = query.get('state');
  const agent = query.get('agent');
  const known = FLOW_STATES.find((one) => one === state);
  if (state !== null && known === undefined) {
    const message = `${JSON.stringify(state)} is no state of a flow, expected one of ${FLOW_STATES.join(', ')}`;
    throw new SutureError('SUT_REQUEST_INVALID', message);
  }
  return { ...(known !== undefined && { state: known }), ...(agent !== null && { agent }) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new SutureError('SUT_REQUEST_INVALID', `${JSON.stringify(part)} is not properly percent-encoded`);
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
