/** What an agent needs of its switch. `client.ts` implements it over gRPC; tests give a fake. */
import type { FlowEvent, FlowSnapshot } from '../dataplane/port.js';
import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from '../flow/endpoints.js';
import type { TeardownMode } from '../flow/state.js';
import type { Endpoint } from '../wire/endpoint.js';

export type AgentRole = 'shell' | 'core';

/** An end of a flow. For a flow it says which of them opened its connection to the shell. */
export type FlowEnd = 'peer' | 'core';

/** Endpoints of shells, or all of them. */
export type Calls = 'any' | readonly Endpoint[];

/** Static reservations of a session (RFC 5189 PRR); made again by the client after every reconnect. */
export interface Reservation {
  /** Shell: listening endpoints and reserved source ports, to be watched. */
  readonly watch: readonly OwnedPorts[];
  /** Core: endpoints that it agrees to have stitched. */
  readonly offers: readonly Endpoint[];
  /** Core: where connections that it opens, and agrees to have stitched, go to. Absent: it agrees to none. */
  readonly calls?: Calls;
}

export type { TeardownMode };

/** What an agent is told of a flow of its own. */
export interface AgentEvent extends FlowEvent {
  /** The switch waits for this agent's `proceed`. */
  readonly answerExpected?: boolean;
  /** The other agent told it; else the switch did by itself. */
  readonly toldBy?: AgentRole;
}

/** A link between a shell and a core, as one of them sees it. */
export interface LinkState {
  /** Where it leads to (shell), or where it is listened for (core). */
  readonly endpoint: Endpoint;
  /** Of links: 0 or 1 at a shell. */
  readonly connections: number;
  readonly streams: number;
}

export interface SwitchClient {
  /** Starts discovery and connecting, and keeps trying; resolves at once. */
  start(): Promise<void>;
  /** Ends the session in order (ST). */
  stop(): Promise<void>;
  /** True while a session is open and the static reservation stands. */
  readonly ready: boolean;
  /** Resolves when `ready`, or rejects when the signal aborts. */
  whenReady(signal?: AbortSignal): Promise<void>;
  /**
   * PRR for one flow: to be asked before the shell opens the second of the two connections. Gives the flow its
   * id. `outer` is the peer's connection and `inner` the core's, whichever of them came first.
   */
  pair(outer: ConnectionEndpoints, inner: ConnectionEndpoints, openedBy?: FlowEnd): Promise<FlowSnapshot>;
  /** PER: stitch it. `cause`: for people, what made the shell ask. */
  enable(
    id: string,
    offsets: StitchOffsets,
    teardown: TeardownMode,
    cause?: readonly string[],
  ): Promise<FlowSnapshot>;
  /** Answers the event of a FIN or RST of that end: what is held goes on, the other agent is told. */
  proceed(id: string, from: FlowEnd): Promise<FlowSnapshot>;
  /** RLC with lifetime 0. */
  release(id: string): Promise<FlowSnapshot>;
  /** PRL. */
  list(): Promise<FlowSnapshot[]>;
  /** Tells the switch, for people, how this agent's links are; again after every reconnect. */
  report(links: readonly LinkState[]): void;
  /** The switch asks that connections leave their link: those of this peer, or all. */
  onMove(listener: (peer: Endpoint | undefined) => void): void;
  onEvent(listener: (event: AgentEvent) => void): void;
  /**
   * `resumed`: the session went on with its flows; `renewed`: the switch restarted, or it is another one; of the flows
   * before it has those that it lists.
   */
  onSession(
    listener: (
      change: 'lost' | 'resumed' | 'renewed' | 'opened',
      /** With `opened`: flows that an earlier process of this agent left with the switch. */
      left: readonly FlowSnapshot[],
    ) => void,
  ): void;
}
