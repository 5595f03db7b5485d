/**
 * The transactions on flows, and who may make them. One method is one request: it resolves when the request
 * is done, and when it rejects (`SutureError`) it changed nothing. What flows there are is in `open-flows.ts`, what happens
 * to them without a request in `endings.ts`.
 */
import { randomBytes } from 'node:crypto';
import type { FlowSnapshot } from '../dataplane/port.js';
import type { ConnectionEndpoints, StitchOffsets } from '../flow/endpoints.js';
import type { Clock } from '../platform/clock.js';
import { SutureError } from '../platform/errors.js';
import { type Endpoint, formatEndpoint } from '../wire/endpoint.js';
import { Agent, type FlowRecord } from './agents.js';
import { invalid } from './convert.js';
import { Endings } from './endings.js';
import { ExpirySet } from './expiry.js';
import { isSameConnection, OpenFlows } from './open-flows.js';
import type { FlowEnd, TeardownMode } from './port.js';
import type { AgentConfig, MidcomBackend, MidcomLimits, MidcomLog } from './service.js';
import { checkAddress, type StandingDemand, StandingReservations } from './standing.js';
import { askedOf } from './telling.js';

export interface TransactionsOptions {
  readonly backend: MidcomBackend;
  readonly agents: readonly AgentConfig[];
  readonly limits: MidcomLimits;
  readonly clock: Clock;
  readonly log: MidcomLog;
}

/** An open flow that was there before this switch. */
export interface AdoptedFlow {
  readonly id: string;
  /** Name of the shell agent. */
  readonly shell: string;
  readonly outer: ConnectionEndpoints;
  readonly inner: ConnectionEndpoints;
  readonly teardown: TeardownMode;
  /** Its shell has asked for the stitch. */
  readonly isEnabled: boolean;
}

/** The two connections that a shell wants to be one flow. */
export interface WantedPair {
  readonly outer: ConnectionEndpoints;
  readonly inner: ConnectionEndpoints;
  readonly openedBy: FlowEnd;
}

export class Transactions {
  readonly agents: ReadonlyMap<string, Agent>;
  private readonly flows: OpenFlows;
  private readonly endings: Endings;
  private readonly standingExpiry: ExpirySet<Agent['standing']>;
  private readonly reservations: StandingReservations;
  /** Ids of this run; those of a run before may still be in a table. */
  private readonly idPrefix = randomBytes(4).toString('hex');
  private serial = 0;

  constructor(private readonly options: TransactionsOptions) {
    const { backend, agents, limits, clock, log } = options;
    const now = clock.monotonic();
    this.agents = new Map(agents.map((config) => [config.name, new Agent(config, limits, now)]));
    this.standingExpiry = new ExpirySet(now);
    this.reservations = new StandingReservations(backend, this.agents, limits, log);
    this.flows = new OpenFlows(now, (record) => this.reservations.release(record));
    const { flows } = this;
    this.endings = new Endings({ backend, flows, teardownMs: limits.teardownMs, clock, log });
  }

  /**
   * Takes in the open flows of an earlier run, or of another switch, before any session is open: their agents hear of
   * them as of their own. Gives those whose agents are not configured.
   */
  async adopt(flows: readonly AdoptedFlow[]): Promise<string[]> {
    const strange: string[] = [];
    for (const shell of this.agents.values())
      await this.reservations.adopt(shell, localEndsOf(flows, shell.name));
    const cores = this.coresByAddress();
    const expiresAt = this.after(this.options.limits.lifetimeSeconds);
    for (const flow of flows) {
      const { id, outer, inner, teardown, isEnabled } = flow;
      const [shell, core] = [this.agents.get(flow.shell), cores.get(inner.remote.address)];
      if (shell?.role !== 'shell' || !core || this.flows.has(id)) {
        strange.push(id);
        continue;
      }
      const pieces = this.reservations.piecesWith(shell, [outer.local, inner.local]);
      const rule = isEnabled ? 'enabled' : 'reserved';
      this.flows.add({ id, shell, core, outer, inner, teardown, pieces, expiresAt, rule, held: undefined });
    }
    return strange;
  }

  private coresByAddress(): Map<string, Agent> {
    const cores = new Map<string, Agent>();
    for (const agent of this.agents.values()) {
      if (agent.role !== 'core') continue;
      for (const address of agent.addresses) if (!cores.has(address)) cores.set(address, agent);
    }
    return cores;
  }

  get flowCount(): number {
    return this.flows.size;
  }

  /** min(requested, maximum), in seconds; nothing asked for is the maximum (RFC 5189 section 2.3.5). */
  grant(requested: number): number {
    const { lifetimeSeconds } = this.options.limits;
    return requested === 0 ? lifetimeSeconds : Math.min(requested, lifetimeSeconds);
  }

  async reserveStanding(agent: Agent, demand: StandingDemand, lifetime: number): Promise<void> {
    await this.reservations.replace(agent, demand, this.after(lifetime));
    if (agent.reserved) this.standingExpiry.add(agent.standing);
    else this.standingExpiry.remove(agent.standing);
  }

  async pair(shell: Agent, wanted: WantedPair, lifetime: number): Promise<FlowSnapshot> {
    const record = this.reserve(shell, wanted, lifetime);
    try {
      const { id, core } = record;
      const flow = await this.options.backend.pair({ id, ...wanted, shell: shell.name, core: core.name });
      record.rule = 'reserved';
      return flow;
    } catch (error) {
      this.flows.drop(record);
      throw error;
    }
  }

  /** The agent has been told the flow's id: from here on it may hear of it. */
  announced(id: string): void {
    this.endings.announced(id);
  }

  /** Ends a flow that its agent has not been told of, and never will be. */
  abandon(id: string): Promise<void> {
    return this.endings.abandon(id);
  }

  async enable(
    agent: Agent,
    id: string,
    offsets: StitchOffsets,
    mode: TeardownMode,
    cause?: readonly string[],
  ): Promise<FlowSnapshot> {
    const record = this.flows.owned(agent, id);
    if (agent.role !== 'shell') throw invalid('only the shell of a flow may have it stitched');
    if (record.rule !== 'reserved') {
      throw new SutureError(
        'SUT_FLOW_STATE',
        `flow ${id} is ${record.rule}; only a reserved one can be enabled`,
      );
    }
    const before = record.teardown;
    record.rule = 'enabling';
    record.teardown = mode;
    try {
      const flow = await this.options.backend.enable(id, offsets, mode, cause);
      if (record.rule === 'enabling') record.rule = 'enabled';
      return flow;
    } catch (error) {
      // A failed PER leaves the reservation (RFC 5189 section 2.3.9).
      if (record.rule === 'enabling') record.rule = 'reserved';
      record.teardown = before;
      throw error;
    }
  }

  async proceed(agent: Agent, id: string, from: FlowEnd): Promise<FlowSnapshot> {
    const record = this.endings.telling.recordOf(agent, id) ?? this.flows.owned(agent, id);
    if (!askedOf(record).includes(agent)) {
      throw invalid(`flow ${id} has teardown mode ${record.teardown}, in which a ${agent.role} is not asked`);
    }
    const told = this.endings.telling.answered(agent, id, from);
    if (this.flows.has(id)) return this.options.backend.proceed(id, from);
    return told ?? this.options.backend.status(id);
  }

  async changeLifetime(agent: Agent, id: string, lifetime: number): Promise<FlowSnapshot> {
    const record = this.flows.owned(agent, id);
    if (record.rule === 'ending') throw new SutureError('SUT_FLOW_STATE', `flow ${id} is ending already`);
    if (lifetime === 0) return this.endings.end(record);
    const flow = await this.options.backend.status(id);
    record.expiresAt = this.after(lifetime);
    if (this.flows.has(id)) this.flows.renew(record);
    return flow;
  }

  /** The standing reservation and all flows that the agent reserved. With 0 they end at the next sweep. */
  changeAllLifetimes(agent: Agent, lifetime: number): void {
    const expiresAt = this.after(lifetime);
    agent.standing.expiresAt = expiresAt;
    if (agent.reserved) this.standingExpiry.add(agent.standing);
    for (const record of agent.flows.values()) {
      if (record.shell !== agent) continue;
      record.expiresAt = expiresAt;
      this.flows.renew(record);
    }
  }

  async status(agent: Agent, id: string): Promise<FlowSnapshot> {
    this.flows.owned(agent, id);
    return this.options.backend.status(id);
  }

  async list(agent: Agent): Promise<FlowSnapshot[]> {
    const { flows } = agent;
    const listed = flows.size === 0 ? [] : await this.options.backend.list([...flows.keys()]);
    return listed.flatMap((flow) => {
      const record = flows.get(flow.id);
      if (record === undefined || record.rule === 'reserving') return [];
      return [{ ...flow, ends: { outer: record.outer, inner: record.inner } }];
    });
  }

  /** Ends what has outlived its lifetime, and tells what has waited long enough. */
  async sweep(): Promise<void> {
    const now = this.options.clock.monotonic();
    this.endings.telling.sweep();
    await Promise.all([
      ...this.standingExpiry.due(now).map(({ agent }) => this.reservations.expire(agent, now)),
      this.endings.expireDue(now),
    ]);
  }

  private reserve(shell: Agent, { outer, inner, openedBy }: WantedPair, lifetime: number): FlowRecord {
    if (shell.role !== 'shell') throw invalid('only a shell may pair connections');
    checkAddress(shell, outer.local.address);
    checkAddress(shell, inner.local.address);
    const pieces = this.reservations.piecesFor(shell, [outer.local, inner.local]);
    const core = this.coreOf(inner, openedBy);
    for (const connection of [outer, inner]) this.flows.checkUnused(connection);
    if (isSameConnection(outer, inner)) throw invalid('outer and inner are the same connection');
    const { flowsPerAgent } = this.options.limits;
    if (shell.flows.size >= flowsPerAgent) {
      throw new SutureError(
        'SUT_LIMIT',
        `${shell.name} has ${shell.flows.size} flows, the most that it may have`,
      );
    }
    const id = `${this.idPrefix}-${(++this.serial).toString(36)}`;
    const expiresAt = this.after(lifetime);
    const record: FlowRecord = {
      id,
      shell,
      core,
      outer,
      inner,
      pieces,
      expiresAt,
      rule: 'reserving',
      teardown: 'core',
      held: [],
    };
    this.flows.add(record);
    return record;
  }

  /** A core has agreed: it offered the endpoint, or it opened the connection and lets it be stitched. */
  private coreOf(inner: ConnectionEndpoints, openedBy: FlowEnd): Agent {
    const core =
      openedBy === 'peer' ? this.reservations.coreOf(inner.remote) : this.reservations.callerOf(inner);
    if (core) return core;
    const message =
      openedBy === 'peer'
        ? `no core agent offers ${formatEndpoint(inner.remote)}; name it in the offers of the core's config`
        : `no core agent with the address ${inner.remote.address} lets its calls to ` +
          `${formatEndpoint(inner.local)} be stitched; start it, or name them in calls of its config`;
    throw new SutureError('SUT_NOT_OFFERED', message);
  }

  private after(seconds: number): number {
    return this.options.clock.monotonic() + seconds * 1000;
  }
}

function* localEndsOf(flows: readonly AdoptedFlow[], shell: string): Generator<Endpoint> {
  for (const flow of flows) {
    if (flow.shell !== shell) continue;
    yield flow.outer.local;
    yield flow.inner.local;
  }
}
