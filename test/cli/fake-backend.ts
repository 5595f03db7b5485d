/** A switch that exists only behind its admin socket, for tests of the server, the client and the commands. */
import { SutureError } from '../../src/platform/errors.js';
import {
  type AdminBackend,
  type AgentView,
  type StatsView,
  unknownFlow,
} from '../../src/switch/admin-protocol.js';
import type { FlowFilter, FlowRecord } from '../../src/table/port.js';
import { flowRecord } from '../contract/table.js';

export const RECORDS: readonly FlowRecord[] = [
  flowRecord('f-1', { openedAt: Date.UTC(2026, 0, 2, 3, 4, 5) }),
  flowRecord('f-2', {
    state: 'stitched',
    agent: 'a2',
    outer: { local: { address: 'fd00::2', port: 80 }, remote: { address: 'fd00::1', port: 5 } },
    stitchedAt: 2_500,
    history: [
      { state: 'relayed', at: 1_000 },
      { state: 'stitched', at: 2_500 },
    ],
  }),
  flowRecord('f-3', { state: 'refused', reason: 'tcp-ao' }),
];

export class FakeBackend implements AdminBackend {
  readonly records = new Map(RECORDS.map((record) => [record.id, record]));
  readonly listeners = new Set<(record: FlowRecord) => void>();
  readonly moves: [name: string, peer: string | undefined][] = [];
  failure: unknown;
  promoted = 0;

  async flows({ state, agent }: FlowFilter): Promise<FlowRecord[]> {
    if (this.failure !== undefined) throw this.failure;
    const all = [...this.records.values()];
    return all.filter(
      (one) => (state === undefined || one.state === state) && (agent === undefined || one.agent === agent),
    );
  }

  async flow(id: string): Promise<FlowRecord | undefined> {
    return this.records.get(id);
  }

  async close(id: string): Promise<FlowRecord> {
    const record = this.records.get(id);
    if (!record) throw unknownFlow(id);
    if (record.closedAt !== undefined)
      throw new SutureError('SUT_FLOW_STATE', `flow ${id} is closed already`);
    const closed: FlowRecord = { ...record, state: 'closed', reason: 'released', closedAt: 9_000 };
    this.records.set(id, closed);
    for (const listener of this.listeners) listener(closed);
    return closed;
  }

  async promote(): Promise<StatsView> {
    if (this.failure !== undefined) throw this.failure;
    this.promoted += 1;
    return this.stats();
  }

  async agents(): Promise<AgentView[]> {
    return [
      {
        name: 'a1',
        role: 'shell',
        connected: true,
        from: '10.201.2.2:51000',
        since: '2026-01-02T03:04:05.000Z',
        addresses: ['10.201.2.2', 'fd00:201:2::2'],
        reserved: ['10.201.2.2:8080', '10.201.2.2:20000-29999'],
        flows: 2,
        links: [
          { endpoint: '10.201.3.2:57628', connections: 1, streams: 3 },
          { endpoint: '10.201.3.3:57628', connections: 0, streams: 0 },
        ],
      },
      { name: 'b1', role: 'core', connected: false, addresses: ['10.201.3.2'], reserved: [], flows: 0 },
    ];
  }

  async move(name: string, peer: string | undefined): Promise<AgentView> {
    this.moves.push([name, peer]);
    const agent = (await this.agents()).find((one) => one.name === name);
    if (!agent) throw new SutureError('SUT_REQUEST_INVALID', `no agent has the name ${name}`);
    return agent;
  }

  async stats(): Promise<StatsView> {
    return {
      name: 's1',
      version: '0.1.0',
      dataplane: 'userspace',
      interfaces: ['to-e', 'to-a'],
      startedAt: '2026-01-02T03:04:05.000Z',
      table: { kind: 'redis', group: 'g', state: 'degraded', reason: 'out-of-memory' },
      flows: { relayed: 1, stitched: 1, refused: 1 },
      counters: { received: 1_234_567, sent: 12 },
    };
  }

  onFlow(listener: (record: FlowRecord) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}
