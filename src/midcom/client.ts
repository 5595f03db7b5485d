/**
 * What an agent needs of its switch, made of a session that is kept open (`session-keeper.ts`), of what the agent knows of
 * its flows (`known-flows.ts`), and of the requests on them (`flow-requests.ts`).
 */
import type { FlowSnapshot } from '../dataplane/port.js';
import type { ConnectionEndpoints, StitchOffsets } from '../flow/endpoints.js';
import type { Endpoint } from '../wire/endpoint.js';
import { endpointFrom } from './convert.js';
import { enableFlow, listFlows, proceedFlow } from './flow-requests.js';
import type { Move } from './gen/suture/v1/transactions.js';
import { KnownFlows } from './known-flows.js';
import { LinkReports } from './link-reports.js';
import type { AgentEvent, FlowEnd, LinkState, SwitchClient, TeardownMode } from './port.js';
import { type SessionChange, SessionKeeper, type SwitchClientOptions } from './session-keeper.js';

export type { SwitchClientOptions };

type SessionListener = (change: SessionChange, left: readonly FlowSnapshot[]) => void;

export function createSwitchClient(options: SwitchClientOptions): SwitchClient {
  return new ControlClient(options);
}

export class ControlClient implements SwitchClient {
  private readonly flows: KnownFlows;
  private readonly links: LinkReports;
  private readonly keeper: SessionKeeper;
  private readonly eventListeners: ((event: AgentEvent) => void)[] = [];
  private readonly sessionListeners: SessionListener[] = [];
  private readonly moveListeners: ((peer: Endpoint | undefined) => void)[] = [];

  constructor(options: SwitchClientOptions) {
    const { clock, log, role } = options;
    this.flows = new KnownFlows(role, log, (event) => this.tellEvent(event));
    const keeper = new SessionKeeper(options, this.flows, {
      onSession: (change, left) => this.tellSession(change, left),
      onMove: (move) => this.takeMove(move),
    });
    this.keeper = keeper;
    this.links = new LinkReports({ clock, log, stopped: keeper.signal, session: () => keeper.openSession() });
  }

  get ready(): boolean {
    return this.keeper.ready;
  }

  async start(): Promise<void> {
    this.keeper.start();
  }

  stop(): Promise<void> {
    return this.keeper.stop();
  }

  whenReady(signal?: AbortSignal): Promise<void> {
    return this.keeper.whenReady(signal);
  }

  async pair(
    outer: ConnectionEndpoints,
    inner: ConnectionEndpoints,
    openedBy: FlowEnd = 'peer',
  ): Promise<FlowSnapshot> {
    return this.flows.pair(this.keeper.session(), { outer, inner, openedBy });
  }

  async enable(
    id: string,
    offsets: StitchOffsets,
    teardown: TeardownMode,
    conditions?: readonly string[],
  ): Promise<FlowSnapshot> {
    return enableFlow(this.keeper.session(), id, offsets, teardown, conditions);
  }

  async proceed(id: string, from: FlowEnd): Promise<FlowSnapshot> {
    return proceedFlow(this.keeper.session(), id, from);
  }

  async release(id: string): Promise<FlowSnapshot> {
    return this.flows.release(this.keeper.session(), id);
  }

  async list(): Promise<FlowSnapshot[]> {
    return listFlows(this.keeper.session());
  }

  report(links: readonly LinkState[]): void {
    this.links.report(links);
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

  private takeMove({ peer }: Move): void {
    const wanted = peer && endpointFrom(peer, 'peer');
    for (const listener of this.moveListeners) listener(wanted);
  }

  private tellEvent(event: AgentEvent): void {
    for (const listener of this.eventListeners) listener(event);
  }

  private tellSession(change: SessionChange, left: readonly FlowSnapshot[]): void {
    for (const listener of this.sessionListeners) listener(change, left);
    if (change !== 'lost') this.links.repeat();
  }
}
