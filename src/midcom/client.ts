/**
 * An agent's link to its switch: finds it, keeps a session open, and makes requests on it.
 *
 * What always holds: `ready` only while a session is open and the standing reservation stands in it; a lost
 * session is tried again for ever, with waits that double and a random part so that agents do not come back
 * all at once; a change of the switch's instance (RFC 6887 section 8.5) is told as `renewed`.
 */
import type { FlowSnapshot } from '../dataplane/port.js';
import type { ConnectionEndpoints, StitchOffsets } from '../flow/endpoints.js';
import type { Clock } from '../platform/clock.js';
import { asSutureError, SutureError } from '../platform/errors.js';
import { type Endpoint, formatEndpoint } from '../wire/endpoint.js';
import { Conversation } from './conversation.js';
import {
  callsMessage,
  endMessage,
  endpointFrom,
  eventFrom,
  flowFrom,
  rangeMessage,
  roleMessage,
  teardownMessage,
} from './convert.js';
import { discoverSwitch } from './discovery/locate.js';
import type { Reply } from './gen/suture/v1/midcom.js';
import type { Event, Move, OpenResult } from './gen/suture/v1/transactions.js';
import type {
  AgentEvent,
  AgentRole,
  FlowEnd,
  LinkState,
  Reservation,
  SwitchClient,
  TeardownMode,
} from './port.js';
import { type MidcomLog, PROTOCOL_VERSIONS } from './service.js';

type SessionChange = 'lost' | 'resumed' | 'renewed' | 'opened';
type SessionListener = (change: SessionChange, left: readonly FlowSnapshot[]) => void;

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

const REQUEST_TIMEOUT_MS = 5_000;
const BACKOFF = { firstMs: 250, mostMs: 10_000 };
const CLOSE_TIMEOUT_MS = 1_000;
const REPORT_MS = 1_000;
/** From one of these on a flow lives without its shell's sockets. */
const CUT: ReadonlySet<string> = new Set(['cutting', 'stitched', 'broken', 'closed']);

export function createSwitchClient(options: SwitchClientOptions): SwitchClient {
  return new ControlClient(options);
}

export class ControlClient implements SwitchClient {
  private readonly stopped = new AbortController();
  private readonly locate: Locate;
  private readonly random: () => number;
  private readonly eventListeners: ((event: AgentEvent) => void)[] = [];
  private readonly sessionListeners: SessionListener[] = [];
  private readonly moveListeners: ((peer: Endpoint | undefined) => void)[] = [];
  private waiters: (() => void)[] = [];
  private conversation: Conversation | undefined;
  private isReady = false;
  private running: Promise<void> | undefined;
  private token = '';
  private instance: string | undefined;
  private lastEvent = 0;
  private links: readonly LinkState[] = [];
  private reporting = false;
  /** Flows whose end this agent has not heard of, as they were last heard of. */
  private readonly known = new Map<string, FlowSnapshot>();
  /** Pair requests whose reply was lost: the switch may have flows that nobody here knows. */
  private unansweredPairs = 0;
  private lastTrouble = '';

  constructor(private readonly options: SwitchClientOptions) {
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

  async start(): Promise<void> {
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
    const given = signal ? AbortSignal.any([signal, this.stopped.signal]) : this.stopped.signal;
    while (!this.isReady) {
      given.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const abort = (): void => reject(given.reason);
        given.addEventListener('abort', abort, { once: true });
        this.waiters.push(() => {
          given.removeEventListener('abort', abort);
          resolve();
        });
      });
    }
  }

  async pair(
    outer: ConnectionEndpoints,
    inner: ConnectionEndpoints,
    openedBy: FlowEnd = 'peer',
  ): Promise<FlowSnapshot> {
    const what = { $case: 'pair' as const, value: { outer, inner, openedBy: endMessage(openedBy) } };
    const answer = this.session().request('reserve', { what, lifetimeSeconds: 0 }, ({ flow }) => {
      if (flow) this.known.set(flow.id, flowFrom(flow));
    });
    try {
      return flowFrom((await answer).value.flow);
    } catch (error) {
      if (asSutureError(error).code === 'SUT_TIMEOUT') this.unansweredPairs++;
      throw error;
    }
  }

  async enable(
    id: string,
    offsets: StitchOffsets,
    teardown: TeardownMode,
    conditions?: readonly string[],
  ): Promise<FlowSnapshot> {
    const cause = conditions && { conditions: [...conditions] };
    const request = { flowId: id, offsets, teardown: teardownMessage(teardown), cause };
    const { value } = await this.session().request('enable', request);
    return flowFrom(value.flow);
  }

  async proceed(id: string, from: FlowEnd): Promise<FlowSnapshot> {
    const { value } = await this.session().request('proceed', { flowId: id, from: endMessage(from) });
    return flowFrom(value.flow);
  }

  async release(id: string): Promise<FlowSnapshot> {
    return this.releaseOn(this.session(), id);
  }

  async list(): Promise<FlowSnapshot[]> {
    return this.listOn(this.session());
  }

  report(links: readonly LinkState[]): void {
    this.links = links;
    if (!this.reporting && this.isReady) void this.tellLinks();
  }

  onMove(listener: (peer: Endpoint | undefined) => void): void {
    this.moveListeners.push(listener);
  }

  onEvent(listener: (event: AgentEvent) => void): void {
    this.eventListeners.push(listener);
  }

  onSession(listener: SessionListener): void {
    this.sessionListeners.push(listener);
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
      onMove: (move) => this.takeMove(move),
      onLate: (result) => this.dropLate(conversation, result),
    });
    this.conversation = conversation;
    let wasReady = false;
    try {
      const lifetime = await this.establish(conversation);
      wasReady = true;
      this.lastTrouble = '';
      log.info({ switch: target, lifetime }, 'session with the switch is open');
      void this.renew(conversation, lifetime);
      if (this.links.length > 0 && !this.reporting) void this.tellLinks();
      const cause = await conversation.ended;
      if (!this.stopped.signal.aborted) this.complain(cause);
    } finally {
      this.unansweredPairs += conversation.unanswered('reserve');
      conversation.close();
      this.conversation = undefined;
      this.isReady = false;
      if (wasReady) this.tellSession('lost');
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
    if (change === 'renewed') await this.keepListed(conversation, opened);
    else if (change === 'resumed') await this.catchUp(conversation, opened);
    const left = change === 'opened' ? await this.takeOver(conversation, opened) : [];
    this.stopped.signal.throwIfAborted();
    // Only now: a session that ends before leaves all of this to the next one.
    this.instance = instance;
    this.becomeReady();
    this.tellSession(change, left);
    return opened.lifetimeSeconds;
  }

  /**
   * What an earlier process of this agent left with the switch. Its lifetimes may be about to end, since nobody has
   * renewed them meanwhile.
   */
  private async takeOver(conversation: Conversation, opened: OpenResult): Promise<FlowSnapshot[]> {
    await conversation.request('changeLifetime', everything(opened.lifetimeSeconds));
    const flows = await this.listOn(conversation);
    for (const flow of flows) this.known.set(flow.id, flow);
    return flows;
  }

  /** After a pause: renews what is left of the flows' lifetimes, and settles what was not heard. */
  private async catchUp(conversation: Conversation, opened: OpenResult): Promise<void> {
    await conversation.request('changeLifetime', everything(opened.lifetimeSeconds));
    const missed = opened.eventsLost || !opened.resumed;
    if (!missed && this.unansweredPairs === 0) return;
    const flows = await this.listOn(conversation);
    await this.releaseOrphans(conversation, flows);
    if (missed) this.makeUp(flows);
  }

  /** Flows whose id never arrived: nobody here will ever use them. */
  private async releaseOrphans(conversation: Conversation, flows: readonly FlowSnapshot[]): Promise<void> {
    if (this.unansweredPairs === 0) return;
    const orphans = flows.filter((flow) => !this.known.has(flow.id) && !wasCut(flow));
    await Promise.allSettled(orphans.map(({ id }) => this.releaseOn(conversation, id)));
    this.unansweredPairs = 0;
  }

  /** Tells as events what the lost events would have told. */
  private makeUp(flows: readonly FlowSnapshot[]): void {
    const gone = new Map(this.known);
    for (const flow of flows) {
      if (!gone.delete(flow.id)) continue;
      this.known.set(flow.id, flow);
      this.tellEvent({ kind: 'state', flow });
    }
    for (const flow of gone.values()) {
      this.known.delete(flow.id);
      this.tellEvent({ kind: 'state', flow: { ...flow, state: 'closed' } });
    }
  }

  /** After a restart of the switch, or with another one: it may have flows of the one before. The others are gone. */
  private async keepListed(conversation: Conversation, opened: OpenResult): Promise<void> {
    await conversation.request('changeLifetime', everything(opened.lifetimeSeconds));
    const flows = await this.listOn(conversation);
    await this.releaseOrphans(conversation, flows);
    const before = new Set(this.known.keys());
    this.known.clear();
    for (const flow of flows) if (before.has(flow.id)) this.known.set(flow.id, flow);
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
        const { value } = await conversation.request('changeLifetime', everything(lifetime));
        granted = value.lifetimeSeconds;
      } catch (error) {
        log.warn({ err: asSutureError(error) }, 'lifetimes were not renewed; opening the session anew');
        conversation.close();
        return;
      }
    }
  }

  private session(): Conversation {
    if (this.isReady && this.conversation?.open) return this.conversation;
    throw new SutureError(
      'SUT_SESSION_STATE',
      'there is no session with the switch now; wait until there is',
    );
  }

  private async releaseOn(conversation: Conversation, id: string): Promise<FlowSnapshot> {
    const target = { $case: 'flowId' as const, value: id };
    const { value } = await conversation.request('changeLifetime', { target, lifetimeSeconds: 0 });
    this.known.delete(id);
    return flowFrom(value.flow);
  }

  private async listOn(conversation: Conversation): Promise<FlowSnapshot[]> {
    const flows: FlowSnapshot[] = [];
    let page = '';
    do {
      const { value } = await conversation.request('list', { page });
      flows.push(...value.flows.map((flow) => flowFrom(flow)));
      page = value.next;
    } while (page !== '');
    return flows;
  }

  /** At most one report a second, and the last one tells what is true. */
  private async tellLinks(): Promise<void> {
    const { clock, log } = this.options;
    this.reporting = true;
    try {
      let told: readonly LinkState[] | undefined;
      while (this.isReady && told !== this.links) {
        told = this.links;
        const links = told.map((link) => ({ ...link }));
        await this.session().request('report', { links });
        await clock.sleep(REPORT_MS, this.stopped.signal);
      }
    } catch (error) {
      // A switch of an older version does not know reports; nothing depends on them.
      log.debug({ err: asSutureError(error) }, 'links not reported');
    } finally {
      this.reporting = false;
    }
  }

  private takeMove({ peer }: Move): void {
    const wanted = peer && endpointFrom(peer, 'peer');
    for (const listener of this.moveListeners) listener(wanted);
  }

  private takeEvent(message: Event): void {
    this.lastEvent = message.sequence;
    const event = eventFrom(message);
    if (!event) return;
    const { flow } = event;
    if (flow.state === 'closed' || flow.state === 'broken') this.known.delete(flow.id);
    // A shell hears of its flows by replies first; one that it hears of only so is an orphan.
    else if (this.options.role === 'core' || this.known.has(flow.id)) this.known.set(flow.id, flow);
    this.tellEvent(event);
  }

  /** A pair that was answered when nobody waited for it any more. */
  private dropLate(conversation: Conversation, result: NonNullable<Reply['result']>): void {
    if (result.$case !== 'reserve' || !result.value.flow) return;
    const { id } = result.value.flow;
    if (this.unansweredPairs > 0) this.unansweredPairs--;
    this.releaseOn(conversation, id).catch((error: unknown) =>
      this.options.log.debug({ flow: id, err: asSutureError(error) }, 'a late pair was not released'),
    );
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
    const { waiters } = this;
    this.waiters = [];
    for (const wake of waiters) wake();
  }

  private tellEvent(event: AgentEvent): void {
    for (const listener of this.eventListeners) listener(event);
  }

  private tellSession(change: SessionChange, left: readonly FlowSnapshot[] = []): void {
    for (const listener of this.sessionListeners) listener(change, left);
  }
}

/** What was not cut may be `closing` too, with its FIN on the way through the shell. */
function wasCut({ state, history }: FlowSnapshot): boolean {
  return CUT.has(state) || history.some((step) => CUT.has(step.state));
}

function everything(lifetimeSeconds: number) {
  return { target: { $case: 'everything' as const, value: {} }, lifetimeSeconds };
}
