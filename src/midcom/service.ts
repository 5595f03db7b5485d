/**
 * What the control service is given: the configured agents, the limits, and the part of the switch that
 * carries its requests out. The service decides who may do what; the backend decides what can be done.
 */
import type { FlowEvent, FlowSnapshot, PairRequest } from '../dataplane/port.js';
import type { OwnedPorts, StitchOffsets } from '../flow/endpoints.js';
import type { Logger } from '../platform/log.js';
import type { AgentRole, FlowEnd, TeardownMode } from './port.js';

/** Versions of the protocol that this code speaks. */
export const PROTOCOL_VERSIONS: readonly number[] = [1];
/** In the range for private use (RFC 6335 section 6). */
export const DEFAULT_DISCOVERY_PORT = 57627;

/** The part of a log that this folder uses; pino's logger is one. */
export type MidcomLog = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

/** An agent as the switch's configuration binds it: it may speak for these addresses and no others. */
export interface AgentConfig {
  readonly name: string;
  readonly role: AgentRole;
  readonly addresses: readonly string[];
}

export interface Epoch {
  /** Drawn at random when the switch's state began. */
  readonly instance: string;
  /** Whole seconds since then. */
  readonly seconds: number;
}

/** A pair request with the agents whose flow it is. */
export interface AgentPairRequest extends PairRequest {
  readonly shell: string;
  readonly core: string;
  readonly openedBy: FlowEnd;
}

/**
 * Carries requests out. Each is atomic: a rejected one (`SutureError`) changed nothing. `own` is only ever
 * given ranges that meet none that is owned, and `disown` only ranges that were given to `own` as they are.
 */
export interface MidcomBackend {
  epoch(): Epoch;
  own(ports: readonly OwnedPorts[]): Promise<void>;
  disown(ports: readonly OwnedPorts[]): Promise<void>;
  pair(request: AgentPairRequest): Promise<FlowSnapshot>;
  enable(
    id: string,
    offsets: StitchOffsets,
    teardown: TeardownMode,
    cause?: readonly string[],
  ): Promise<FlowSnapshot>;
  /** Lets a held FIN or RST of that end's go on. Where nothing is held, nothing changes. */
  proceed(id: string, from: FlowEnd): Promise<FlowSnapshot>;
  close(id: string): Promise<FlowSnapshot>;
  /** Rejects with SUT_FLOW_UNKNOWN for a flow that it does not have. */
  status(id: string): Promise<FlowSnapshot>;
  /** Those of these flows that it has. What it has besides is not looked at: that may be a hundred thousand. */
  list(ids: readonly string[]): Promise<FlowSnapshot[]>;
  onEvent(listener: (event: FlowEvent) => void): void;
}

export interface MidcomLimits {
  /** Open sessions. */
  readonly agents: number;
  /** Flows that one shell may have reserved at a time. */
  readonly flowsPerAgent: number;
  readonly requestsPerSecond: number;
  /** Bytes of one message, either way. */
  readonly messageBytes: number;
  readonly lifetimeSeconds: number;
  /** Port ranges and offers of one standing reservation. */
  readonly rangesPerAgent: number;
  /** Requests of one session being carried out; beyond it the switch stops reading. */
  readonly requestsInFlight: number;
  /** Events kept for an agent whose session was lost. */
  readonly eventsKept: number;
  /** Messages waiting for an agent that does not read; beyond it the switch ends the session. */
  readonly messagesUnsent: number;
  /** Time for a stream to open its session. */
  readonly openTimeoutMs: number;
  /** Time for an agent to answer the event of a FIN or RST; the data path has the same for what it holds. */
  readonly teardownMs: number;
}

/** What an agent says when it opens its session, so that the switch waits for its answers. */
export const ANSWERS_TEARDOWN = 'teardown';

export const DEFAULT_LIMITS: MidcomLimits = {
  agents: 64,
  flowsPerAgent: 20_000,
  requestsPerSecond: 20_000,
  messageBytes: 64 * 1024,
  lifetimeSeconds: 3600,
  rangesPerAgent: 512,
  requestsInFlight: 4096,
  eventsKept: 4096,
  messagesUnsent: 65_536,
  openTimeoutMs: 10_000,
  teardownMs: 5_000,
};
