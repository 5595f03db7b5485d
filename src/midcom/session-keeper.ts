/**
 * An agent's session with its switch: finds the switch, keeps a session open, and renews what was reserved in it.
 *
 * What always holds: `ready` only while a session is open and the standing reservation stands in it; a lost
 * session is tried again for ever, with waits that double and a random part so that agents do not come back
 * all at once; a change of the switch's instance (RFC 6887 section 8.5) is told as `renewed`.
 */
import type { FlowSnapshot } from '../dataplane/port.js';
import type { Clock } from '../platform/clock.js';
import { asSutureError, SutureError } from '../platform/errors.js';
import { firstAbort } from '../platform/first-abort.js';
import { Waiters } from '../platform/waiters.js';
import { type Endpoint, formatEndpoint } from '../wire/endpoint.js';
import { Conversation } from './conversation.js';
import { callsMessage, eventFrom, rangeMessage, roleMessage } from './convert.js';
import { discoverSwitch } from './discovery/locate.js';
import { renewEverything } from './flow-requests.js';
import type { Event, Move } from './gen/suture/v1/transactions.js';
import type { KnownFlows } from './known-flows.js';
import type { AgentRole, Reservation } from './port.js';
import { type MidcomLog, PROTOCOL_VERSIONS } from './service.js';

const REQUEST_TIMEOUT_MS = 5_000;
const BACKOFF = { firstMs: 250, mostMs: 10_000 };
const CLOSE_TIMEOUT_MS = 1_000;

export type SessionChange = 'lost' | 'resumed' | 'renewed' | 'opened';

/** Says where the control service is, or rejects; asked before every attempt. */
export type Locate = (signal: AbortSignal) => Promise<Endpoint>;

export interface SwitchClientOptions {
  readonly name: string;
  readonly role: AgentRole;
  /** By discovery, or at a fixed place: an address or a host's name, and a port. */
  readonly switch: 'discover' | Endpoint;
  /** UDP port that the switch answers discovery on. */
  readonly discoveryPort?: number;
  readonly reservation: Reservation;
  readonly clock: Clock;
  readonly log: MidcomLog;
  /** Asked for everything that this agent reserves; 0 asks for the switch's maximum. */
  readonly lifetimeSeconds?: number;
  readonly requestTimeoutMs?: number;
  readonly backoff?: { readonly firstMs: number; readonly mostMs: number };
  readonly capabilities?: readonly string[];
  /** In place of what `switch` says. */
  readonly locate?: Locate;
  /** 0 ≤ x < 1; for the random part of waits. */
  readonly random?: () => number;
}

/** Whom it tells. */
export interface SessionListeners {
  /** A session has begun, or was lost. `left`: flows of an earlier process of this agent. */
  readonly onSession: (change: SessionChange, left: readonly FlowSnapshot[]) => void;
  readonly onMove: (move: Move) => void;
}

export class SessionKeeper {
  private readonly stopped = new AbortController();
  private readonly locate: Locate;
  private readonly random: () => number;
  private readonly waiters = new Waiters();
  private conversation: Conversation | undefined;
  private isReady = false;
  private running: Promise<void> | undefined;
  private token = '';
  private instance: string | undefined;
  private lastEvent = 0;
  private lastTrouble = '';

  constructor(
    private readonly options: SwitchClientOptions,
    private readonly flows: KnownFlows,
    private readonly listeners: SessionListeners,
  ) {
    const { switch: place, discoveryPort: port, clock, log, random = Math.random } = options;
    const discovery = { clock, log, ...(port !== undefined && { port }) };
    this.random = random;
    this.locate =
      options.locate ??
      (place === 'discover' ? (signal) => discoverSwitch({ ...discovery, signal }) : async () => place);
  }

  get ready(): boolean {
    return this.isReady;
  }

  /** Aborts when it stops. */
  get signal(): AbortSignal {
    return this.stopped.signal;
  }

  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    const { conversation, isReady } = this;
    this.isReady = false;
    this.stopped.abort(new SutureError('SUT_SHUTTING_DOWN', 'this agent is stopping'));
    // A second stop finds it not ready, and does not wait.
    if (conversation && isReady) await this.farewell(conversation);
    conversation?.close();
    await this.running;
  }

  async whenReady(signal?: AbortSignal): Promise<void> {
    const { signal: given, done } = firstAbort(this.stopped.signal, ...(signal ? [signal] : []));
    try {
      given.throwIfAborted();
      while (!this.isReady) await this.waiters.next(given);
    } finally {
      done();
    }
  }

  /** The session, while it is ready. */
  openSession(): Conversation | undefined {
    return this.isReady && this.conversation?.open ? this.conversation : undefined;
  }

  /** The same for a request, which can't do without. */
  session(): Conversation {
    const conversation = this.openSession();
    if (conversation) return conversation;
    throw new SutureError(
      'SUT_SESSION_STATE',
      'there is no session with the switch now; wait until there is',
    );
  }

  private async run(): Promise<void> {
    const { firstMs, mostMs } = this.options.backoff ?? BACKOFF;
    const { signal } = this.stopped;
    let wait = firstMs;
    while (!signal.aborted) {
      try {
        const place = await this.locate(signal);
        if (await this.converse(formatEndpoint(place))) wait = firstMs;
      } catch (error) {
        if (!signal.aborted) this.complain(asSutureError(error));
      }
      // Between a half and the whole of the wait.
      const pause = wait * (1 - this.random() / 2);
      await this.options.clock.sleep(pause, signal).catch(() => undefined);
      wait = Math.min(2 * wait, mostMs);
    }
  }

  /** One stream from its beginning to its end. True when it came to be ready. */
  private async converse(target: string): Promise<boolean> {
    const { clock, log, requestTimeoutMs: timeoutMs = REQUEST_TIMEOUT_MS } = this.options;
    const conversation = new Conversation({
      target,
      clock,
      timeoutMs,
      onEvent: (event) => this.takeEvent(event),
      onMove: (move) => this.listeners.onMove(move),
      onLate: (result) => this.flows.dropLate(conversation, result),
    });
    this.conversation = conversation;
    let wasReady = false;
    try {
      const lifetime = await this.establish(conversation);
      wasReady = true;
      this.lastTrouble = '';
      log.info({ switch: target, lifetime }, 'session with the switch is open');
      void this.renew(conversation, lifetime);
      const cause = await conversation.ended;
      if (!this.stopped.signal.aborted) this.complain(cause);
    } finally {
      this.flows.lose(conversation);
      conversation.close();
      this.conversation = undefined;
      this.isReady = false;
      if (wasReady) this.listeners.onSession('lost', []);
    }
    return wasReady;
  }

  /** SE and the standing PRR. Gives the granted lifetime. */
  private async establish(conversation: Conversation): Promise<number> {
    const { name, role, reservation, capabilities = [], lifetimeSeconds = 0 } = this.options;
    const { value: opened, instance } = await conversation.request('open', {
      versions: [...PROTOCOL_VERSIONS],
      agent: name,
      role: roleMessage(role),
      capabilities: [...capabilities],
      lifetimeSeconds,
      token: this.token,
      lastEvent: this.lastEvent,
    });
    const before = this.instance;
    this.token = opened.token;
    if (!opened.resumed) this.lastEvent = 0;
    const watch = reservation.watch.map(rangeMessage);
    const calls = callsMessage(reservation.calls);
    const standing = { watch, offers: [...reservation.offers], calls };
    await conversation.request('reserve', {
      what: { $case: 'standing', value: standing },
      lifetimeSeconds: 0,
    });
    const change = before === undefined ? 'opened' : before === instance ? 'resumed' : 'renewed';
    if (change === 'renewed') await this.flows.keepListed(conversation, opened);
    else if (change === 'resumed') await this.flows.catchUp(conversation, opened);
    const left = change === 'opened' ? await this.flows.takeOver(conversation, opened) : [];
    this.stopped.signal.throwIfAborted();
    // Only now: a session that ends before leaves all of this to the next one.
    this.instance = instance;
    this.becomeReady();
    this.listeners.onSession(change, left);
    return opened.lifetimeSeconds;
  }

  /** RLC at ½ to ⅝ of the lifetime (RFC 6887 section 11.2.1), for all that this agent reserved. */
  private async renew(conversation: Conversation, lifetime: number): Promise<void> {
    const { clock, log } = this.options;
    const ended = new AbortController();
    void conversation.ended.then(() => ended.abort());
    let granted = lifetime;
    while (granted > 0) {
      const wait = granted * 1000 * (0.5 + this.random() / 8);
      await clock.sleep(wait, ended.signal).catch(() => undefined);
      if (ended.signal.aborted) return;
      try {
        granted = await renewEverything(conversation, lifetime);
      } catch (error) {
        log.warn({ err: asSutureError(error) }, 'lifetimes were not renewed; opening the session anew');
        conversation.close();
        return;
      }
    }
  }

  private takeEvent(message: Event): void {
    this.lastEvent = message.sequence;
    const event = eventFrom(message);
    if (event) this.flows.takeEvent(event);
  }

  private async farewell(conversation: Conversation): Promise<void> {
    const done = new AbortController();
    const patience = this.options.clock.sleep(CLOSE_TIMEOUT_MS, done.signal).catch(() => undefined);
    const said = conversation.request('close', {}).catch(() => undefined);
    await Promise.race([said, patience, conversation.ended]);
    done.abort();
  }

  /** The same trouble again and again is worth one line. */
  private complain({ code, message }: SutureError): void {
    const level = this.lastTrouble === message ? 'debug' : 'warn';
    this.lastTrouble = message;
    this.options.log[level]({ code, cause: message }, 'no session with the switch; trying again');
  }

  private becomeReady(): void {
    this.isReady = true;
    this.waiters.wake();
  }
}
