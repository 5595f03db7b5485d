/**
 * What a running switch tells over its admin socket: HTTP/1.1 with JSON bodies over a Unix socket, so that
 * `curl --unix-socket` works as well as the CLI.
 *
 *   GET  /flows?state=&agent=   FlowView[]
 *   GET  /flows/ID              FlowDetail
 *   POST /flows/ID/close        FlowDetail
 *   GET  /agents                AgentView[]
 *   POST /agents/NAME/move?peer=  AgentView: asks a shell to take connections off their links
 *   GET  /stats                 StatsView
 *   POST /promote              StatsView
 *   GET  /events                FlowDetail a line, for every change from now on, until either side ends it
 *
 * A refused request is answered with ErrorView and a status of 4xx or 5xx. Views are what `--json` prints:
 * endpoints are `address:port` text, times ISO 8601.
 */
import type { ConnectionEndpoints } from '../flow/endpoints.js';
import type { DirectionCounters, FlowReason, FlowState, TeardownMode } from '../flow/state.js';
import { type ErrorCode, SutureError } from '../platform/errors.js';
import type { FlowFilter, FlowRecord, TableState } from '../table/port.js';
import { formatEndpoint } from '../wire/endpoint.js';

export interface ConnectionView {
  /** The shell's end. */
  readonly local: string;
  readonly remote: string;
}

export interface FlowView {
  readonly id: string;
  readonly state: FlowState;
  readonly reason?: FlowReason;
  readonly agent: string;
  readonly outer: ConnectionView;
  readonly inner: ConnectionView;
  readonly up: DirectionCounters;
  readonly down: DirectionCounters;
  readonly openedAt: string;
  readonly stitchedAt?: string;
  readonly closedAt?: string;
}

export interface FlowDetail extends FlowView {
  readonly openedBy: 'peer' | 'core';
  /** What made the shell ask for the stitch; the condition that came true last is the first. */
  readonly stitchCause?: readonly string[];
  /** What is done with its FINs and RSTs; known once the shell has asked for the stitch. */
  readonly teardown?: TeardownMode;
  /** What the flow sent to the shell since it was stitched. */
  readonly toShellStitched: DirectionCounters;
  readonly history: readonly { readonly state: FlowState; readonly at: string }[];
}

export interface AgentView {
  readonly name: string;
  readonly role: 'shell' | 'core';
  readonly connected: boolean;
  /** Where its session comes from; absent when there is none. */
  readonly from?: string;
  readonly since?: string;
  /** Addresses that it may own. */
  readonly addresses: readonly string[];
  /** Port ranges that it has watched (shell) or endpoints that it offers (core). */
  readonly reserved: readonly string[];
  /** Cores that let connections that they open be stitched: endpoints of shells, or `any`. */
  readonly calls?: 'any' | readonly string[];
  /** Flows of its that have not ended. */
  readonly flows: number;
  /** Links that it has, or listens for, and connections that are on them. */
  readonly links?: readonly LinkView[];
}

export interface LinkView {
  readonly endpoint: string;
  readonly connections: number;
  readonly streams: number;
}

export interface TableView {
  readonly kind: 'memory' | 'redis';
  /** Of a table in Redis. */
  readonly group?: string;
  readonly state: TableState;
  /** Why it is not `up`. */
  readonly reason?: string;
}

export interface StatsView {
  readonly name: string;
  readonly version: string;
  readonly dataplane: string;
  readonly interfaces: readonly string[];
  readonly startedAt: string;
  /** Of a switch that may be one of several of its group. */
  readonly role?: 'active' | 'standby' | 'carrying';
  readonly table: TableView;
  /** Flows in the table, by state; a state without any may be left out. */
  readonly flows: Partial<Record<FlowState, number>>;
  readonly counters: Readonly<Record<string, number>>;
}

export interface ErrorView {
  readonly error: { readonly code: ErrorCode; readonly message: string };
}

/** What the admin socket asks of a switch. */
export interface AdminBackend {
  flows(filter: FlowFilter): Promise<readonly FlowRecord[]>;
  flow(id: string): Promise<FlowRecord | undefined>;
  /** Rejects with SUT_FLOW_UNKNOWN or SUT_FLOW_STATE. */
  close(id: string): Promise<FlowRecord>;
  agents(): Promise<readonly AgentView[]>;
  /** Rejects with SUT_REQUEST_INVALID or SUT_SESSION_STATE. */
  move(agent: string, peer: string | undefined): Promise<AgentView>;
  stats(): Promise<StatsView>;
  /** Makes a standby the active switch of its group. Rejects with SUT_NOT_AVAILABLE where there is no group. */
  promote(): Promise<StatsView>;
  /** Calls for each change of a flow until the function that it gives back is called. */
  onFlow(listener: (record: FlowRecord) => void): () => void;
}

const iso = (ms: number): string => new Date(ms).toISOString();

function connectionView({ local, remote }: ConnectionEndpoints): ConnectionView {
  return { local: formatEndpoint(local), remote: formatEndpoint(remote) };
}

export function flowView(record: FlowRecord): FlowView {
  const { id, state, reason, agent, outer, inner, up, down, openedAt, stitchedAt, closedAt } = record;
  return {
    id,
    state,
    ...(reason !== undefined && { reason }),
    agent,
    outer: connectionView(outer),
    inner: connectionView(inner),
    up,
    down,
    openedAt: iso(openedAt),
    ...(stitchedAt !== undefined && { stitchedAt: iso(stitchedAt) }),
    ...(closedAt !== undefined && { closedAt: iso(closedAt) }),
  };
}

export function flowDetail(record: FlowRecord): FlowDetail {
  const history = record.history.map(({ state, at }) => ({ state, at: iso(at) }));
  const { openedBy = 'peer', stitchCause, teardown, toShellStitched } = record;
  return {
    ...flowView(record),
    openedBy,
    ...(stitchCause && { stitchCause }),
    ...(teardown && { teardown }),
    toShellStitched,
    history,
  };
}

export function errorView({ code, message }: SutureError): ErrorView {
  return { error: { code, message } };
}

/** HTTP status of a refusal; the code in the body is what a program should look at. */
export function statusOf(code: ErrorCode): number {
  switch (code) {
    case 'SUT_REQUEST_INVALID':
      return 400;
    case 'SUT_FLOW_UNKNOWN':
      return 404;
    case 'SUT_FLOW_STATE':
    case 'SUT_SESSION_STATE':
    case 'SUT_CONFLICT':
    case 'SUT_TABLE_LEASE':
      return 409;
    case 'SUT_LIMIT':
      return 429;
    case 'SUT_SHUTTING_DOWN':
    case 'SUT_NOT_AVAILABLE':
    case 'SUT_TABLE_UNAVAILABLE':
      return 503;
    default:
      return 500;
  }
}

export function unknownFlow(id: string): SutureError {
  return new SutureError(
    'SUT_FLOW_UNKNOWN',
    `no flow has the id ${JSON.stringify(id)}; \`suture flows\` lists those that there are`,
  );
}
