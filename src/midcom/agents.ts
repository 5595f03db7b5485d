/**
 * Who is there and what is whose: agents as the switch knows them, their flows, and the log of events that
 * each has still to hear of. State only; `transactions.ts` and `endings.ts` change it.
 *
 * An agent's state belongs to its name, not to its session: it stays when the session is lost.
 */
import type { FlowEvent } from '../dataplane/port.js';
import type { ConnectionEndpoints, OwnedPorts } from '../flow/endpoints.js';
import { canonicalAddress, type Endpoint } from '../wire/endpoint.js';
import { TokenBucket } from './bucket.js';
import type { Expiring } from './expiry.js';
import type { AgentEvent, AgentRole, Calls, LinkState, TeardownMode } from './port.js';
import type { AgentConfig, MidcomLimits } from './service.js';

/** RFC 5189 section 2.3.4: UNUSED is to have no record. The others here are steps of a request under way. */
export type RuleState = 'reserving' | 'reserved' | 'enabling' | 'enabled' | 'ending';

/** Ports that the data path carries for an agent, as they were given to it. */
export interface OwnedPiece extends OwnedPorts {
  /** Flows that have an end in it. */
  flows: number;
  /** In no standing reservation any more: to be given back when `flows` is 0. */
  retired: boolean;
}

export interface FlowRecord extends Expiring {
  readonly id: string;
  readonly shell: Agent;
  readonly core: Agent;
  readonly outer: ConnectionEndpoints;
  readonly inner: ConnectionEndpoints;
  readonly pieces: readonly OwnedPiece[];
  rule: RuleState;
  teardown: TeardownMode;
  /** Events that came before the reply that gives the agent the flow's id. */
  held: FlowEvent[] | undefined;
}

/** An agent's standing reservation ends with its lifetime, like a flow. */
export interface Standing extends Expiring {
  readonly agent: Agent;
  watch: readonly OwnedPorts[];
  offers: readonly Endpoint[];
  calls: Calls;
}

export interface LoggedEvent {
  readonly sequence: number;
  readonly event: AgentEvent;
}

/** The end of a session that events go to and that can be told to go. */
export interface SessionHandle {
  readonly peer: string;
  readonly since: number;
  event(logged: LoggedEvent): void;
  /** Asks that connections leave their link: those of this peer, or all. */
  move(peer: Endpoint | undefined): void;
  /** AST. */
  terminate(code: 'SUT_CONFLICT' | 'SUT_SHUTTING_DOWN' | 'SUT_LIMIT', message: string): void;
}

/** The latest events of a session, numbered from 1 on, at most `limit` of them. */
export class EventLog {
  private kept: LoggedEvent[] = [];
  private first = 0;
  private sequence = 0;

  constructor(private readonly limit: number) {}

  add(event: AgentEvent): LoggedEvent {
    const logged = { sequence: ++this.sequence, event };
    this.kept.push(logged);
    if (this.kept.length - this.first > this.limit) this.first++;
    // Moves the rest down once for each `limit` events, not once for each event.
    if (this.first > this.limit) {
      this.kept = this.kept.slice(this.first);
      this.first = 0;
    }
    return logged;
  }

  /** All after `sequence`, or undefined when some of them are gone (or were never sent). */
  after(sequence: number): LoggedEvent[] | undefined {
    const missing = this.sequence - sequence;
    if (missing < 0 || missing > this.kept.length - this.first) return undefined;
    return this.kept.slice(this.kept.length - missing);
  }

  get latest(): number {
    return this.sequence;
  }

  clear(): void {
    this.kept = [];
    this.first = 0;
    this.sequence = 0;
  }
}

export class Agent {
  readonly name: string;
  readonly role: AgentRole;
  readonly addresses: ReadonlySet<string>;
  readonly flows = new Map<string, FlowRecord>();
  readonly events: EventLog;
  readonly bucket: TokenBucket;
  readonly standing: Standing;
  pieces: OwnedPiece[] = [];
  /** Secret of the latest session; whoever has it may go on with that session. */
  token: string | undefined;
  session: SessionHandle | undefined;
  /** It answers events of FINs and RSTs; said at the opening of its session. */
  answers = false;
  /** What it last said of its links; nothing while it has no session. */
  links: readonly LinkState[] = [];

  constructor(config: AgentConfig, limits: MidcomLimits, now: number) {
    this.name = config.name;
    this.role = config.role;
    this.addresses = new Set(config.addresses.map((text) => canonicalAddress(text) ?? text));
    this.events = new EventLog(limits.eventsKept);
    this.bucket = new TokenBucket(limits.requestsPerSecond, limits.requestsPerSecond, now);
    this.standing = { agent: this, watch: [], offers: [], calls: [], expiresAt: 0 };
  }

  get reserved(): boolean {
    const { watch, offers, calls } = this.standing;
    return watch.length + offers.length > 0 || calls === 'any' || calls.length > 0;
  }

  tell(event: AgentEvent): void {
    const logged = this.events.add(event);
    this.session?.event(logged);
  }
}
