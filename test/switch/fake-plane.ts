/** A data path that does what it is asked, and tells what a test wants told. */
import type {
  DataPlane,
  FlowEvent,
  FlowSide,
  FlowSnapshot,
  FlowStates,
  PairRequest,
  RestoreRequest,
} from '../../src/dataplane/port.js';
import { statesOf } from '../../src/dataplane/snapshot.js';
import type { FlowReason, FlowState } from '../../src/flow/state.js';
import { SutureError } from '../../src/platform/errors.js';

const NONE = { packets: 0, bytes: 0 };

export function snapshot(id: string, state: FlowState = 'relayed', reason?: FlowReason): FlowSnapshot {
  const history = [{ state, at: 2_000 }];
  return { id, state, ...(reason && { reason }), up: NONE, down: NONE, toShellStitched: NONE, history };
}

export class FakePlane implements DataPlane {
  readonly kind = 'userspace';
  readonly flows = new Map<string, FlowSnapshot>();
  /** Called when a flow is to be stitched, before it is. */
  beforeEnable: (id: string) => Promise<void> = async () => {};
  beforePair: () => Promise<void> = async () => {};
  readonly enabled: string[] = [];
  readonly proceeded: string[] = [];
  private readonly listeners: ((event: FlowEvent) => void)[] = [];

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  async leave(): Promise<void> {}
  async forward(): Promise<void> {}

  async restore(flows: Iterable<RestoreRequest>): Promise<string[]> {
    const all = [...flows];
    for (const { id, past } of all)
      this.flows.set(id, { ...snapshot(id, past.state), history: past.history });
    return all.map(({ id }) => id);
  }

  async drop(ids: readonly string[]): Promise<void> {
    for (const id of ids) this.flows.delete(id);
  }

  async own(): Promise<void> {}
  async disown(): Promise<void> {}

  async pair({ id }: PairRequest): Promise<FlowSnapshot> {
    await this.beforePair();
    this.flows.set(id, snapshot(id));
    return snapshot(id);
  }

  async enable(id: string): Promise<FlowSnapshot> {
    await this.beforeEnable(id);
    this.enabled.push(id);
    this.change(id, 'stitched');
    return this.known(id);
  }

  async proceed(id: string, from: FlowSide): Promise<FlowSnapshot> {
    this.proceeded.push(`${id} ${from}`);
    return this.known(id);
  }

  async close(id: string): Promise<FlowSnapshot> {
    this.change(id, 'closed', 'released');
    return this.known(id);
  }

  async list(_withSaved = false, ids?: readonly string[]): Promise<FlowSnapshot[]> {
    return ids ? ids.flatMap((id) => this.flows.get(id) ?? []) : [...this.flows.values()];
  }

  async states(): Promise<FlowStates> {
    const flows = [...this.flows.values()];
    return statesOf(flows.map(({ id, state, saved }) => ({ id, state, savable: saved !== undefined })));
  }

  async counters(): Promise<Record<string, number>> {
    return {};
  }

  async steer(): Promise<void> {}

  onMiss(): void {}

  onEvent(listener: (event: FlowEvent) => void): void {
    this.listeners.push(listener);
  }

  change(id: string, state: FlowState, reason?: FlowReason): void {
    const before = this.known(id);
    const flow = {
      ...before,
      state,
      ...(reason && { reason }),
      history: [...before.history, { state, at: 3_000 }],
    };
    this.flows.set(id, flow);
    for (const listener of this.listeners) listener({ kind: 'state', flow });
  }

  private known(id: string): FlowSnapshot {
    const flow = this.flows.get(id);
    if (!flow) throw new SutureError('SUT_FLOW_UNKNOWN', `no flow has the id ${id}`);
    return flow;
  }
}
