/**
 * The shell's end of a link: one HTTP/2 connection to a core agent, kept open, with a stream for each connection
 * that begins on it.
 *
 * What always holds: a lost link is tried again for ever, with waits that double and a random part; its streams
 * are lost with it, and never go on on the next one.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect as http2Connect } from 'node:http2';
import { connect as netConnect, type Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import type { Clock } from '../../platform/clock.js';
import type { LinkAuth } from '../../platform/config/index.js';
import { asSutureError, SutureError } from '../../platform/errors.js';
import { firstAbort } from '../../platform/first-abort.js';
import { codeOf } from '../../platform/sockets.js';
import { Waiters } from '../../platform/waiters.js';
import { type Endpoint, formatEndpoint } from '../../wire/endpoint.js';
import type { MidcomLog } from '../service.js';
import type { FrameStream } from './frame-stream.js';
import { sessionOver } from './heartbeat.js';
import { linkKey, TLS_OPTIONS } from './security.js';
import { framesOn, LINK_PATH, PEER_HEADER, Status, sessionOptions, TO_HEADER } from './service.js';

const BACKOFF = { firstMs: 250, mostMs: 10_000 };
/** Of the connection and its handshake. */
const CONNECT_MS = 10_000;

export interface LinkClientOptions {
  readonly to: Endpoint;
  readonly auth: LinkAuth;
  /** The shell's name: who it says it is. */
  readonly name: string;
  /** Most streams at a time; the core may allow fewer. */
  readonly streams: number;
  readonly clock: Clock;
  readonly log: MidcomLog;
  /** It came, went, or has another number of streams. */
  readonly onChange?: () => void;
}

export interface StreamRequest {
  readonly to: Endpoint;
  readonly peer: Endpoint | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export class LinkClient {
  readonly #options: LinkClientOptions;
  readonly #stopped = new AbortController();
  #session: ClientHttp2Session | undefined;
  #running: Promise<void> | undefined;
  readonly #waiters = new Waiters();
  #lastTrouble = '';
  #streams = 0;

  constructor(options: LinkClientOptions) {
    this.#options = options;
  }

  get to(): Endpoint {
    return this.#options.to;
  }

  get up(): boolean {
    return this.#session !== undefined;
  }

  get streams(): number {
    return this.#streams;
  }

  /** Connects, and keeps trying; resolves at once. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Resets what is left on it. */
  async stop(): Promise<void> {
    this.#stopped.abort(new SutureError('SUT_SHUTTING_DOWN', 'this agent is stopping'));
    this.#session?.destroy();
    await this.#running;
  }

  /** A stream that the core has taken; rejects with SUT_TIMEOUT, SUT_LIMIT, SUT_NOT_OFFERED or SUT_LINK. */
  async open({ to, peer, timeoutMs, signal }: StreamRequest): Promise<FrameStream> {
    const { clock } = this.#options;
    const timer = new AbortController();
    const late = new AbortController();
    const where = formatEndpoint(this.#options.to);
    clock.sleep(timeoutMs, timer.signal).then(
      () =>
        late.abort(new SutureError('SUT_TIMEOUT', `no stream on the link to ${where} in ${timeoutMs} ms`)),
      () => {},
    );
    const { signal: given, done } = firstAbort(signal, late.signal, this.#stopped.signal);
    try {
      for (;;) {
        const session = await this.#whenUp(given);
        try {
          return await this.#request(session, to, peer, given);
        } catch (error) {
          // Lost before it answered, with nothing said yet: the next link will do as well.
          if (given.aborted || !isOver(session)) throw error;
        }
      }
    } finally {
      timer.abort();
      done();
    }
  }

  async #whenUp(signal: AbortSignal): Promise<ClientHttp2Session> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#session && !isOver(this.#session)) return this.#session;
      await this.#waiters.next(signal);
    }
  }

  async #request(
    session: ClientHttp2Session,
    to: Endpoint,
    peer: Endpoint | undefined,
    signal: AbortSignal,
  ): Promise<FrameStream> {
    const most = Math.min(this.#options.streams, session.remoteSettings.maxConcurrentStreams ?? Infinity);
    if (this.#streams >= most) throw new SutureError('SUT_LIMIT', `${most} streams are open on the link`);
    const stream = session.request(
      {
        ':method': 'POST',
        ':path': LINK_PATH,
        [TO_HEADER]: formatEndpoint(to),
        ...(peer && { [PEER_HEADER]: formatEndpoint(peer) }),
      },
      { endStream: false },
    );
    this.#count(stream);
    const frames = framesOn(stream);
    const abort = (): void => frames.reset();
    signal.addEventListener('abort', abort, { once: true });
    try {
      const status = await answer(stream);
      if (status === Status.Open) return frames;
      throw refusal(status, to);
    } catch (error) {
      frames.reset();
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  #count(stream: ClientHttp2Stream): void {
    this.#streams += 1;
    this.#options.onChange?.();
    stream.once('close', () => {
      this.#streams -= 1;
      this.#options.onChange?.();
    });
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    let wait = BACKOFF.firstMs;
    while (!signal.aborted) {
      if (await this.#converse()) wait = BACKOFF.firstMs;
      // Between a half and the whole of the wait.
      await this.#options.clock.sleep(wait * (1 - Math.random() / 2), signal).catch(() => {});
      wait = Math.min(2 * wait, BACKOFF.mostMs);
    }
  }

  /** One connection from its beginning to its end. True when it came to be usable. */
  async #converse(): Promise<boolean> {
    const { clock, log, streams, to } = this.#options;
    const where = formatEndpoint(to);
    const socket = this.#connect();
    const session = http2Connect(`https://${where}`, {
      ...sessionOptions(streams),
      createConnection: () => socket,
    });
    let failure: unknown;
    session.on('error', (error) => {
      failure = error;
    });
    const closed = new Promise<void>((resolve) => session.once('close', resolve));
    // The settings tell how many streams the core takes, and that the handshake is done.
    const ready = new Promise<boolean>((resolve) => session.once('remoteSettings', () => resolve(true)));
    const timer = new AbortController();
    const timeout = clock.sleep(CONNECT_MS, timer.signal).catch(() => {});
    const usable = await Promise.race([ready, closed.then(() => false), timeout.then(() => false)]);
    timer.abort();
    if (usable && !this.#stopped.signal.aborted) {
      this.#lastTrouble = '';
      log.info({ core: where }, 'link is open');
      this.#becomeUp(session);
      await sessionOver(session, clock);
      this.#session = undefined;
      this.#options.onChange?.();
    } else {
      session.destroy();
    }
    socket.destroy();
    if (!this.#stopped.signal.aborted) this.#complain(usable, failure, where);
    return usable;
  }

  #connect(): Socket {
    const { to, auth, name } = this.#options;
    const place = { host: to.address, port: to.port, noDelay: true };
    const psk = linkKey(auth);
    if (!psk) return netConnect(place);
    // There is no certificate whose name could be checked: the key is what the core is known by.
    return tlsConnect({
      ...place,
      ...TLS_OPTIONS,
      ALPNProtocols: [...TLS_OPTIONS.ALPNProtocols],
      pskCallback: () => ({ psk, identity: name }),
      checkServerIdentity: () => undefined,
    });
  }

  #becomeUp(session: ClientHttp2Session): void {
    this.#session = session;
    this.#options.onChange?.();
    this.#waiters.wake();
  }

  /** The same trouble again and again is worth one line. */
  #complain(wasUp: boolean, failure: unknown, where: string): void {
    const cause = wasUp ? 'it was lost' : troubleText(failure);
    const level = this.#lastTrouble === cause ? 'debug' : 'warn';
    this.#lastTrouble = cause;
    this.#options.log[level]({ core: where, code: 'SUT_LINK', cause }, 'no link to the core; trying again');
  }
}

function isOver(session: ClientHttp2Session): boolean {
  return session.closed || session.destroyed;
}

/** The HTTP status. */
function answer(stream: ClientHttp2Stream): Promise<number> {
  return new Promise((resolve, reject) => {
    stream.once('response', (headers) => resolve(Number(headers[':status'])));
    stream.once('close', () =>
      reject(new SutureError('SUT_LINK', 'the link was lost, or the stream refused')),
    );
  });
}

function refusal(status: number, to: Endpoint): SutureError {
  const where = formatEndpoint(to);
  if (status === Status.NotOffered)
    return new SutureError('SUT_NOT_OFFERED', `the core agent at the link does not offer ${where}`);
  if (status === Status.Full) return new SutureError('SUT_LIMIT', 'the core agent takes no more connections');
  if (status === Status.NoServer)
    return new SutureError('SUT_LINK', `the server behind ${where} was not reached by its core agent`);
  if (status === Status.Stopping) return new SutureError('SUT_SHUTTING_DOWN', 'the core agent is stopping');
  return new SutureError('SUT_LINK', `the core agent answered with status ${status}`);
}

/** A handshake with another key ends in an alert: what it says about records means the key. */
function troubleText(failure: unknown): string {
  if (failure === undefined) return 'no answer';
  const code = codeOf(failure);
  if (code.startsWith('ERR_SSL')) return `${code}: refused; check that both ends have the same link.auth`;
  return code === 'UNKNOWN' ? asSutureError(failure).message : code;
}
