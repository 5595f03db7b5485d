/** A switch that says what a test wants it to, and remembers what it was asked. */
import type { FlowSnapshot } from '../../src/dataplane/port.js';
import type { ConnectionEndpoints, StitchOffsets } from '../../src/flow/endpoints.js';
import type { FlowReason, FlowState } from '../../src/flow/state.js';
import type {
  AgentEvent,
  FlowEnd,
  LinkState,
  Reservation,
  SwitchClient,
  TeardownMode,
} from '../../src/midcom/port.js';
import { SutureError } from '../../src/platform/errors.js';
import type { Endpoint } from '../../src/wire/endpoint.js';

export type SessionChange = 'lost' | 'resumed' | 'renewed' | 'opened';

export interface PairCall {
  readonly id: string;
  readonly outer: ConnectionEndpoints;
  readonly inner: ConnectionEndpoints;
  /** Left out for a flow that the peer opened. */
  readonly openedBy?: FlowEnd;
}

export class FakeSwitch implements SwitchClient {
  ready = true;
  reservation: Reservation = { watch: [], offers: [] };
  readonly pairs: PairCall[] = [];
  readonly enabled: {
    id: string;
    offsets: StitchOffsets;
    teardown: TeardownMode;
    cause: readonly string[] | undefined;
  }[] = [];
  readonly released: string[] = [];
  readonly proceeded: string[] = [];
  readonly log: string[] = [];
  lists = 0;
  stopped = 0;
  /** Awaited before a pair is answered; a rejection is the answer. */
  onPair: (call: PairCall) => Promise<void> | void = () => {};
  onEnable: (id: string) => Promise<void> | void = () => {};
  onProceed: (id: string) => Promise<void> | void = () => {};
  onRelease: (id: string) => Promise<void> | void = () => {};
  readonly flows = new Map<string, FlowSnapshot>();
  links: readonly LinkState[] = [];
  readonly #moves: ((peer: Endpoint | undefined) => void)[] = [];
  readonly #events: ((event: AgentEvent) => void)[] = [];
  readonly #sessions: ((change: SessionChange, left: readonly FlowSnapshot[]) => void)[] = [];

  async start(): Promise<void> {
    this.log.push('start');
  }

  async stop(): Promise<void> {
    this.stopped += 1;
  }

  async whenReady(): Promise<void> {}

  async pair(
    outer: ConnectionEndpoints,
    inner: ConnectionEndpoints,
    openedBy: FlowEnd = 'peer',
  ): Promise<FlowSnapshot> {
    const id = `f${this.pairs.length + 1}`;
    const call = { id, outer, inner, ...(openedBy === 'core' && { openedBy }) };
    this.pairs.push(call);
    await this.onPair(call);
    this.log.push(`paired ${call.id}`);
    return this.#set(call.id, 'watched');
  }

  async enable(
    id: string,
    offsets: StitchOffsets,
    teardown: TeardownMode,
    cause?: readonly string[],
  ): Promise<FlowSnapshot> {
    this.enabled.push({ id, offsets, teardown, cause });
    await this.onEnable(id);
    return this.#set(id, 'clamping');
  }

  async proceed(id: string, from: FlowEnd): Promise<FlowSnapshot> {
    this.proceeded.push(`${id} ${from}`);
    await this.onProceed(id);
    return this.flows.get(id) ?? this.#set(id, 'closed');
  }

  async release(id: string): Promise<FlowSnapshot> {
    this.released.push(id);
    await this.onRelease(id);
    const flow = this.#set(id, 'closed', 'released');
    this.flows.delete(id);
    return flow;
  }

  async list(): Promise<FlowSnapshot[]> {
    this.lists += 1;
    return [...this.flows.values()];
  }

  report(links: readonly LinkState[]): void {
    this.links = links;
  }

  onMove(listener: (peer: Endpoint | undefined) => void): void {
    this.#moves.push(listener);
  }

  /** Asks for a move as a switch does. */
  askMove(peer?: Endpoint): void {
    for (const listener of this.#moves) listener(peer);
  }

  onEvent(listener: (event: AgentEvent) => void): void {
    this.#events.push(listener);
  }

  onSession(listener: (change: SessionChange, left: readonly FlowSnapshot[]) => void): void {
    this.#sessions.push(listener);
  }

  /** Puts the flow in that state and tells the agent. */
  tell(id: string, state: FlowState, reason?: FlowReason): void {
    const flow = this.#set(id, state, reason);
    for (const listener of this.#events) listener({ kind: 'state', flow });
  }

  tellEvent(event: AgentEvent): void {
    for (const listener of this.#events) listener(event);
  }

  session(change: SessionChange, left: readonly FlowSnapshot[] = []): void {
    this.ready = change !== 'lost';
    for (const flow of left) this.flows.set(flow.id, flow);
    for (const listener of this.#sessions) listener(change, left);
  }

  setPackets(id: string, packets: number): void {
    const flow = this.#get(id);
    this.flows.set(id, { ...flow, up: { packets, bytes: 0 } });
  }

  #get(id: string): FlowSnapshot {
    const flow = this.flows.get(id);
    if (!flow) throw new SutureError('SUT_FLOW_UNKNOWN', `no flow ${id}`);
    return flow;
  }

  #set(id: string, state: FlowState, reason?: FlowReason): FlowSnapshot {
    const zero = { packets: 0, bytes: 0 };
    const history = this.flows.get(id)?.history ?? [];
    const flow: FlowSnapshot = {
      id,
      state,
      ...(reason ? { reason } : {}),
      up: this.flows.get(id)?.up ?? zero,
      down: zero,
      toShellStitched: zero,
      history: [...history, { state, at: history.length }],
    };
    this.flows.set(id, flow);
    return flow;
  }
}
