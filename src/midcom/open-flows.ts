/**
 * The flows that are open: whose they are, which connections are theirs, and when their lifetime is over.
 *
 * What always holds: a connection is part of one flow at most; every flow has a shell and a core, and is among the flows
 * of both for as long as it is here.
 */
import type { ConnectionEndpoints } from '../flow/endpoints.js';
import { SutureError } from '../platform/errors.js';
import { formatEndpoint } from '../wire/endpoint.js';
import type { Agent, FlowRecord } from './agents.js';
import { ExpirySet } from './expiry.js';

export class OpenFlows {
  private readonly flows = new Map<string, FlowRecord>();
  private readonly connections = new Map<string, FlowRecord>();
  private readonly expiry: ExpirySet<FlowRecord>;

  /** `onDrop`: told once of each that is taken out. */
  constructor(
    now: number,
    private readonly onDrop: (record: FlowRecord) => void,
  ) {
    this.expiry = new ExpirySet(now);
  }

  get size(): number {
    return this.flows.size;
  }

  has(id: string): boolean {
    return this.flows.has(id);
  }

  get(id: string): FlowRecord | undefined {
    return this.flows.get(id);
  }

  add(record: FlowRecord): void {
    this.flows.set(record.id, record);
    this.connections.set(keyOf(record.outer), record);
    this.connections.set(keyOf(record.inner), record);
    record.shell.flows.set(record.id, record);
    record.core.flows.set(record.id, record);
    for (const piece of record.pieces) piece.flows++;
    this.expiry.add(record);
  }

  drop(record: FlowRecord): void {
    if (!this.flows.delete(record.id)) return;
    this.connections.delete(keyOf(record.outer));
    this.connections.delete(keyOf(record.inner));
    record.shell.flows.delete(record.id);
    record.core.flows.delete(record.id);
    this.expiry.remove(record);
    this.onDrop(record);
  }

  /** Its `expiresAt` is another one now. */
  renew(record: FlowRecord): void {
    this.expiry.add(record);
  }

  /** Those whose lifetime was over by `now`, each once. */
  due(now: number): FlowRecord[] {
    return this.expiry.due(now);
  }

  /** The flow of that id, if it is one that the agent may name. */
  owned(agent: Agent, id: string): FlowRecord {
    const record = agent.flows.get(id);
    if (record && record.rule !== 'reserving') return record;
    if (!record && this.flows.has(id)) {
      throw new SutureError(
        'SUT_NOT_OWNER',
        `flow ${id} is another agent's; ${agent.name} may name only its own`,
      );
    }
    throw new SutureError('SUT_FLOW_UNKNOWN', `there is no flow ${id} (any more); list those that are there`);
  }

  checkUnused(connection: ConnectionEndpoints): void {
    const other = this.connections.get(keyOf(connection));
    if (!other) return;
    throw new SutureError(
      'SUT_CONFLICT',
      `${formatEndpoint(connection.local)} to ${formatEndpoint(connection.remote)} is in flow ${other.id} already`,
    );
  }
}

export function isSameConnection(a: ConnectionEndpoints, b: ConnectionEndpoints): boolean {
  return keyOf(a) === keyOf(b);
}

function keyOf({ local, remote }: ConnectionEndpoints): string {
  return `${local.address} ${local.port} ${remote.address} ${remote.port}`;
}
