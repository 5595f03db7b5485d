/**
 * The core's end of links: listens for shells, and gives each stream to whoever delivers it.
 *
 * What always holds: without the key no stream is opened; a shell has at most `streams` of them at a time on
 * one link, and what it sends on one waits in that stream's window only.
 */
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../platform/clock.js';
import type { LinkAuth } from '../../platform/config/index.js';
import { type ErrorCode, SutureError } from '../../platform/errors.js';
import { codeOf } from '../../platform/sockets.js';
import { type Endpoint, formatEndpoint } from '../../wire/endpoint.js';
import type { MidcomLog } from '../service.js';
import type { FrameStream } from './frame-stream.js';
import { sessionOver } from './heartbeat.js';
import { linkKey, TLS_OPTIONS } from './security.js';
import { framesOn, LINK_PATH, PEER_HEADER, Status, sessionOptions, TO_HEADER } from './service.js';

const HANDSHAKE_MS = 10_000;
/** Shells that may be linked to one core at a time. */
const MAX_LINKS = 64;

/** Where the name is kept that a shell gave itself. */
const SHELL = Symbol('shell');
type NamedSocket = TLSSocket & { [SHELL]?: string };

/** A stream that a shell has opened and that has to be answered. */
export interface OfferedStream {
  /** Endpoint that it wants, as text. */
  readonly to: string;
  /** Only for people. */
  readonly peer: string;
  readonly shell: string;
  /** Takes it. Undefined when it has gone meanwhile. */
  accept(): FrameStream | undefined;
  refuse(status: number): void;
  /** It was closed before it was answered. */
  readonly gone: AbortSignal;
}

export interface LinkServerOptions {
  readonly listen: Endpoint;
  readonly auth: LinkAuth;
  readonly streams: number;
  readonly clock: Clock;
  readonly log: MidcomLog;
  readonly onStream: (stream: OfferedStream) => void;
  readonly onChange?: () => void;
}

export class LinkServer {
  readonly #options: LinkServerOptions;
  readonly #server: Http2Server | Http2SecureServer;
  readonly #sessions = new Set<ServerHttp2Session>();
  #streams = 0;
  /** Handshakes that failed: another key, or no link at all. */
  #refused = 0;

  constructor(options: LinkServerOptions) {
    this.#options = options;
    const { auth, streams } = options;
    const { settings, ...rest } = sessionOptions(streams);
    const http2 = { ...rest, settings: { ...settings, maxConcurrentStreams: streams } };
    const psk = linkKey(auth);
    this.#server = psk
      ? createSecureServer({
          ...http2,
          ...TLS_OPTIONS,
          ALPNProtocols: [...TLS_OPTIONS.ALPNProtocols],
          handshakeTimeout: HANDSHAKE_MS,
          pskCallback: (socket: NamedSocket, identity: string) => {
            socket[SHELL] = identity;
            return psk;
          },
        })
      : createServer(http2);
    this.#server.on('connection', (socket: Socket) => socket.setNoDelay(true));
    this.#server.on('session', (session: ServerHttp2Session) => this.#onSession(session));
    this.#server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) =>
      this.#onStream(stream, headers),
    );
    this.#server.on('sessionError', () => {});
    this.#server.on('tlsClientError', (error: Error, socket: TLSSocket) => this.#onRefused(error, socket));
  }

  get links(): number {
    return this.#sessions.size;
  }

  get streams(): number {
    return this.#streams;
  }

  /** Gives the endpoint that it listens on. */
  async start(): Promise<Endpoint> {
    const { auth, listen, log } = this.#options;
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenError(listen, error)));
      server.listen({ host: listen.address, port: listen.port }, () => {
        server.removeAllListeners('error');
        server.on('error', (error) => log.warn({ err: error }, 'link listener'));
        resolve();
      });
    });
    const { port } = server.address() as AddressInfo;
    const bound = { address: listen.address, port };
    if (auth.mode === 'none' && !isLoopback(listen.address)) {
      log.warn(
        { listen: formatEndpoint(bound) },
        'link.auth is none and the link is not on loopback: anyone who can connect to it reaches the local server',
      );
    }
    log.info({ listen: formatEndpoint(bound), auth: auth.mode }, 'link listens');
    return bound;
  }

  /** Takes no more links; those that are there stay until `stop`. */
  stopListening(): void {
    if (this.#server.listening) this.#server.close();
  }

  /** Ends all links, with what is on them. */
  stop(): void {
    this.stopListening();
    for (const session of this.#sessions) session.destroy();
  }

  #onSession(session: ServerHttp2Session): void {
    const { clock, log, onChange } = this.#options;
    const { socket } = session;
    session.on('error', () => {});
    if (this.#sessions.size >= MAX_LINKS) {
      log.warn({ links: MAX_LINKS, from: socket.remoteAddress }, 'no more links are taken');
      session.destroy();
      return;
    }
    this.#sessions.add(session);
    const where = { shell: nameOf(session), from: socket.remoteAddress };
    log.info(where, 'link is open');
    onChange?.();
    void sessionOver(session, clock).then(() => {
      this.#sessions.delete(session);
      log.info(where, 'link has ended');
      onChange?.();
    });
  }

  #onRefused(error: Error, { remoteAddress }: TLSSocket): void {
    this.#refused += 1;
    // One line for the first, and for each power of two: an attacker must not fill the log.
    if ((this.#refused & (this.#refused - 1)) !== 0) return;
    this.#options.log.warn(
      { from: remoteAddress, code: codeOf(error), refused: this.#refused },
      'link refused: its other end has another key, or is none',
    );
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', () => {});
    const { onChange, onStream } = this.#options;
    if (headers[':path'] !== LINK_PATH || headers[':method'] !== 'POST') {
      stream.respond({ ':status': Status.NotOffered }, { endStream: true });
      return;
    }
    this.#streams += 1;
    onChange?.();
    const gone = new AbortController();
    stream.once('close', () => {
      this.#streams -= 1;
      gone.abort(new SutureError('SUT_LINK', 'the stream has gone'));
      onChange?.();
    });
    onStream({
      to: textOf(headers[TO_HEADER]),
      peer: textOf(headers[PEER_HEADER]),
      shell: nameOf(stream.session),
      gone: gone.signal,
      accept: () => {
        if (stream.destroyed || stream.closed) return undefined;
        const frames = framesOn(stream);
        stream.respond({ ':status': Status.Open });
        return frames;
      },
      refuse: (status) => {
        if (!stream.destroyed && !stream.closed) stream.respond({ ':status': status }, { endStream: true });
      },
    });
  }
}

/** `session.socket` is a proxy that shows the TLS socket's own properties. */
function nameOf(session: Http2Session | undefined): string {
  const name = session && !session.destroyed ? (session.socket as NamedSocket)[SHELL] : undefined;
  return name ?? '';
}

function textOf(header: string | string[] | undefined): string {
  return typeof header === 'string' ? header : '';
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

const LISTEN_CODES: Readonly<Record<string, ErrorCode>> = {
  EADDRINUSE: 'SUT_ALREADY_RUNNING',
  EADDRNOTAVAIL: 'SUT_CONFIG_INVALID',
  EACCES: 'SUT_PERMISSION',
};

export function listenError(listen: Endpoint, error: Error): SutureError {
  const found = codeOf(error);
  const code = LISTEN_CODES[found] ?? 'SUT_INTERNAL';
  const message = `can't listen on ${formatEndpoint(listen)} (${found}): ${error.message}`;
  return new SutureError(code, message, { cause: error });
}
