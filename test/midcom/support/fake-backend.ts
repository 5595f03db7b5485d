/** A switch behind the control service that does as it is told, and records what it was asked. */
import type { FlowEvent, FlowSnapshot } from '../../../src/dataplane/port.js';
import type { OwnedPorts, StitchOffsets } from '../../../src/flow/endpoints.js';
import type { FlowState } from '../../../src/flow/state.js';
import type { AgentPairRequest, MidcomBackend } from '../../../src/midcom/service.js';
import { deferred } from '../../../src/platform/deferred.js';
import { SutureError } from '../../../src/platform/errors.js';

export class FakeBackend implements MidcomBackend {
  instance = 'instance-1';
  seconds = 7;
  readonly calls: string[] = [];
  readonly owned = new Set<string>();
  readonly flows = new Map<string, FlowSnapshot>();
  readonly offsets = new Map<string, StitchOffsets>();
  readonly causes = new Map<string, readonly string[] | undefined>();
  readonly teardowns = new Map<string, string>();
  readonly proceeded: string[] = [];
  readonly pairs: AgentPairRequest[] = [];
  /** What was asked for by each list. */
  readonly listed: (readonly string[])[] = [];
  /** The next call of this name rejects with it. */
  readonly failures = new Map<string, SutureError>();
  /** Calls of this name wait for it. */
  readonly gates = new Map<string, Promise<void>>();
  /** Closing says so by an event too, as a data path may. */
  closeByEvent = true;
  private readonly listeners: ((event: FlowEvent) => void)[] = [];

  epoch() {
    return { instance: this.instance, seconds: this.seconds };
  }

  async own(ports: readonly OwnedPorts[]): Promise<void> {
    await this.enter('own');
    for (const range of ports) this.owned.add(textOf(range));
  }

  async disown(ports: readonly OwnedPorts[]): Promise<void> {
    await this.enter('disown');
    for (const range of ports) {
      if (!this.owned.delete(textOf(range))) throw new Error(`${textOf(range)} was not owned`);
    }
  }

  async pair(request: AgentPairRequest): Promise<FlowSnapshot> {
    await this.enter('pair');
    this.pairs.push(request);
    return this.put(snapshot(request.id, 'watched'));
  }

  async enable(
    id: string,
    offsets: StitchOffsets,
    teardown: string,
    cause?: readonly string[],
  ): Promise<FlowSnapshot> {
    await this.enter('enable');
    this.offsets.set(id, offsets);
    this.causes.set(id, cause);
    this.teardowns.set(id, teardown);
    return this.put(snapshot(id, 'clamping'));
  }

  async proceed(id: string, from: string): Promise<FlowSnapshot> {
    await this.enter('proceed');
    this.proceeded.push(`${id} ${from}`);
    const flow = this.flows.get(id);
    if (!flow) throw new SutureError('SUT_FLOW_UNKNOWN', `no flow ${id}`);
    return flow;
  }

  async close(id: string): Promise<FlowSnapshot> {
    await this.enter('close');
    if (!this.flows.has(id)) throw new SutureError('SUT_FLOW_UNKNOWN', `no flow ${id}`);
    const flow: FlowSnapshot = { ...snapshot(id, 'closed'), reason: 'released' };
    if (this.closeByEvent) this.emit({ kind: 'state', flow });
    this.flows.delete(id);
    return flow;
  }

  async status(id: string): Promise<FlowSnapshot> {
    await this.enter('status');
    const flow = this.flows.get(id);
    if (!flow) throw new SutureError('SUT_FLOW_UNKNOWN', `no flow ${id}`);
    return flow;
  }

  async list(ids: readonly string[]): Promise<FlowSnapshot[]> {
    await this.enter('list');
    this.listed.push(ids);
    return ids.flatMap((id) => this.flows.get(id) ?? []);
  }

  onEvent(listener: (event: FlowEvent) => void): void {
    this.listeners.push(listener);
  }

  emit(event: FlowEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  /** A flow comes into a state by itself. */
  move(id: string, state: FlowState, reason?: FlowSnapshot['reason']): void {
    const flow = reason ? { ...snapshot(id, state), reason } : snapshot(id, state);
    if (state === 'closed' || state === 'broken') this.flows.delete(id);
    else this.flows.set(id, flow);
    this.emit({ kind: 'state', flow });
  }

  /** Lets calls of this name wait until the function that it gives back is called. */
  hold(name: string): () => void {
    const { promise, resolve } = deferred();
    this.gates.set(name, promise);
    return resolve;
  }

  private async enter(name: string): Promise<void> {
    this.calls.push(name);
    await this.gates.get(name);
    const failure = this.failures.get(name);
    if (!failure) return;
    this.failures.delete(name);
    throw failure;
  }

  private put(flow: FlowSnapshot): FlowSnapshot {
    this.flows.set(flow.id, flow);
    return flow;
  }
}

export function snapshot(id: string, state: FlowState): FlowSnapshot {
  return {
    id,
    state,
    up: { packets: 3, bytes: 2 ** 40 + 1 },
    down: { packets: 4, bytes: 5 },
    toShellStitched: { packets: 0, bytes: 0 },
    history: [
      { state: 'watched', at: 1_700_000_000_000 },
      { state, at: 1_700_000_000_123 },
    ],
  };
}

function textOf({ address, from, to }: OwnedPorts): string {
  return `${address}:${from}-${to}`;
}
