/** What the admin socket tells, from the parts of a running switch. */
import { createRequire } from 'node:module';
import type { DataPlane } from '../dataplane/port.js';
import type { FlowState } from '../flow/state.js';
import type { LinkState } from '../midcom/port.js';
import type { ControlServer } from '../midcom/server.js';
import type { Clock } from '../platform/clock.js';
import type { SwitchConfig } from '../platform/config/index.js';
import { SutureError } from '../platform/errors.js';
import type { FlowFilter, FlowRecord, FlowTable } from '../table/port.js';
import type { RedisTable } from '../table/redis/table.js';
import { formatEndpoint, parseEndpoint } from '../wire/endpoint.js';
import {
  type AdminBackend,
  type AgentView,
  type LinkView,
  type StatsView,
  unknownFlow,
} from './admin-protocol.js';
import type { Control } from './control.js';
import type { DiscoveryService } from './discovery.js';

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

export interface AdminParts {
  readonly config: SwitchConfig;
  readonly plane: DataPlane;
  readonly table: FlowTable;
  readonly control: Control;
  readonly server: ControlServer;
  readonly discovery: DiscoveryService;
  readonly clock: Clock;
  /** The table of a switch that is one of several of its group. */
  readonly shared?: Pick<RedisTable, 'isLeader' | 'leading' | 'promote'> | undefined;
}

export class Admin implements AdminBackend {
  private readonly startedAt: number;

  constructor(private readonly parts: AdminParts) {
    this.startedAt = parts.clock.wall();
  }

  flows(filter: FlowFilter): Promise<readonly FlowRecord[]> {
    return this.parts.control.flows(filter);
  }

  flow(id: string): Promise<FlowRecord | undefined> {
    return this.parts.control.flow(id);
  }

  async close(id: string): Promise<FlowRecord> {
    const { control } = this.parts;
    await control.close(id);
    const record = await control.flow(id);
    if (!record) throw unknownFlow(id);
    return record;
  }

  async agents(): Promise<readonly AgentView[]> {
    return this.parts.server
      .agents()
      .map(({ name, role, addresses, connected, peer, since, flows, watch, offers, calls, links }) => ({
        name,
        role,
        connected,
        ...(peer !== undefined && { from: peer }),
        ...(since !== undefined && { since: new Date(since).toISOString() }),
        addresses,
        reserved: [...watch, ...offers],
        ...(calls.length > 0 && { calls }),
        flows,
        ...(links.length > 0 && { links: links.map(linkView) }),
      }));
  }

  async move(name: string, peer: string | undefined): Promise<AgentView> {
    const endpoint = peer === undefined ? undefined : parseEndpoint(peer);
    if (peer !== undefined && !endpoint) {
      const message = `peer: found ${JSON.stringify(peer)}, expected ADDRESS:PORT, [ADDRESS]:PORT for IPv6`;
      throw new SutureError('SUT_REQUEST_INVALID', message);
    }
    this.parts.server.move(name, endpoint);
    const found = (await this.agents()).find((agent) => agent.name === name);
    if (!found) throw new SutureError('SUT_REQUEST_INVALID', `no agent has the name ${JSON.stringify(name)}`);
    return found;
  }

  async promote(): Promise<StatsView> {
    const { shared } = this.parts;
    if (!shared) {
      const message = 'this switch is no standby: set `standby: true` and a table in Redis in its config';
      throw new SutureError('SUT_NOT_AVAILABLE', message);
    }
    if (!shared.isLeader) shared.promote();
    await shared.leading;
    await this.parts.control.taken;
    return this.stats();
  }

  async stats(): Promise<StatsView> {
    const { config, control, discovery, plane, server, table } = this.parts;
    const flows: Partial<Record<FlowState, number>> = {};
    for (const flow of table.records()) flows[flow.state] = (flows[flow.state] ?? 0) + 1;
    const { kind, state, reason, counters } = table.status();
    return {
      name: config.name,
      version,
      dataplane: plane.kind,
      interfaces: config.interfaces,
      ...(this.parts.shared && { role: this.isActive ? 'active' : 'standby' }),
      startedAt: new Date(this.startedAt).toISOString(),
      table: { kind, ...(kind === 'redis' && { group: config.group }), state, ...(reason && { reason }) },
      flows,
      counters: {
        ...prefixed('dataplane', await plane.counters()),
        ...prefixed('control', server.counters()),
        ...prefixed('discovery', discovery.counters()),
        ...prefixed('table', counters),
        ...prefixed('start', control.reconciled),
      },
    };
  }

  /** Of a group: it has the lease, and has taken over what there was. */
  private get isActive(): boolean {
    return this.parts.shared?.isLeader === true && this.parts.control.hasTaken;
  }

  onFlow(listener: (record: FlowRecord) => void): () => void {
    return this.parts.control.onFlow(listener);
  }
}

function linkView({ endpoint, connections, streams }: LinkState): LinkView {
  return { endpoint: formatEndpoint(endpoint), connections, streams };
}

function prefixed(prefix: string, counters: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counters).map(([name, value]) => [`${prefix}.${name}`, value]));
}
