/**
 * What a switch knows and does of flows: requests of agents and of people go to the data path from here, and
 * its events go to the table, the agents and whoever watches.
 *
 * What always holds: a flow is in the table before its request is answered, and no flow is cut before the table
 * says that its record is as safe as the config wants it.
 */
import { randomBytes } from 'node:crypto';
import type { DataPlane, FlowEvent, FlowSide, FlowSnapshot } from '../dataplane/port.js';
import type { OwnedPorts, StitchOffsets } from '../flow/endpoints.js';
import type { TeardownMode } from '../flow/state.js';
import type { AgentPairRequest, Epoch, MidcomBackend } from '../midcom/service.js';
import type { Clock } from '../platform/clock.js';
import { SutureError } from '../platform/errors.js';
import type { Logger } from '../platform/log.js';
import { repeat } from '../platform/repeat.js';
import { lostFlow } from '../table/lost.js';
import { type FlowFilter, type FlowRecord, type FlowTable, listed } from '../table/port.js';
import { unknownFlow } from './admin-protocol.js';
import {
  foundFlow,
  type Identity,
  identityOf,
  isOver,
  isTurned,
  type Live,
  liveFlows,
  recordOf,
  requestsFor,
  sortOut,
} from './adopt.js';
import { drain } from './drain.js';
import { Identities } from './identities.js';
import { turnEvent, turnOffsets, turnPair, turnSide, turnSnapshot } from './orientation.js';
import { Readiness } from './readiness.js';

const EXPIRE_MS = 1000;

export interface ControlParts {
  readonly plane: DataPlane;
  readonly table: FlowTable;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long a stop waits for the flows that the switch carries, ms. */
  readonly drainLimit: number;
  /** The shell agent that an address belongs to. */
  readonly agentOf: (address: string) => string | undefined;
  /** Whether an address is a core agent's. */
  readonly isCore?: (address: string) => boolean;
}

export class Control implements MidcomBackend {
  /** As the standby of a group. */
  readonly readiness: Readiness;
  private readonly identities: Identities;
  private readonly eventListeners: ((event: FlowEvent) => void)[] = [];
  private readonly watchers = new Set<(record: FlowRecord) => void>();
  private readonly stopped = new AbortController();
  private readonly instance = randomBytes(8).toString('hex');
  private readonly startedAt: number;
  /** What the last start found: flows by what became of them. */
  readonly reconciled: Record<string, number> = {};
  /** What happened while a start told the agents of their flows; undefined at any other time. */
  private untold: FlowEvent[] | undefined;
  private draining = false;
  private following = false;

  constructor(private readonly parts: ControlParts) {
    this.startedAt = parts.clock.monotonic();
    this.readiness = new Readiness(parts);
    this.identities = new Identities(parts.table);
    parts.plane.onEvent((event) => void (this.untold ? this.untold.push(event) : this.take(event)));
  }

  async start(): Promise<void> {
    const { clock, log } = this.parts;
    const onError = (err: unknown): void => log.error({ err }, 'flow table');
    void repeat(clock, EXPIRE_MS, this.stopped.signal, () => this.identities.expire(clock.wall()), onError);
  }

  /**
   * To be called before packets are carried and agents are served: open flows go on, or have ended. `serve` gets those
   * that go on, for the agents; what happens to them until it is done is told after it, for nobody would know them.
   */
  async adopt(serve: (open: readonly FlowRecord[]) => Promise<void> = async () => {}): Promise<void> {
    this.untold = [];
    try {
      await serve(await this.findFlows());
    } finally {
      const { untold } = this;
      this.untold = undefined;
      for (const event of untold) void this.take(event);
    }
  }

  private async findFlows(): Promise<FlowRecord[]> {
    const { clock, log, plane, table } = this.parts;
    const live = liveFlows(await plane.states());
    if (this.following) await this.withoutEnded(live);
    const sorted = sortOut(table.records(), live, clock.wall());
    const { kept, restorable, stale, lost, unknown } = sorted;
    // Only what is news is asked for in full: of 100,000 flows that is hardly any.
    const news = [...sorted.changed.map(({ id }) => id), ...unknown];
    const snapshots = new Map((await plane.list(true, news)).map((snapshot) => [snapshot.id, snapshot]));
    const changed = sorted.changed.map((record) => this.changedSince(record, snapshots.get(record.id)));
    const found = unknown.flatMap((id) => this.found(snapshots.get(id)) ?? []);
    const restoring = plane.restore(requestsFor(restorable));
    // Meanwhile: the data path has a thread of its own.
    for (const record of [...kept, ...restorable]) this.identities.set(record.id, identityOf(record));
    const restored = new Set(await restoring);
    await plane.drop(stale);
    const given = restorable.filter(({ id }) => !restored.has(id)).map((one) => lostFlow(one, clock.wall()));
    for (const record of [...changed, ...found, ...lost, ...given]) await table.put(record);
    const open = [...kept, ...changed, ...found, ...restorable.filter(({ id }) => restored.has(id))];
    for (const record of [...changed, ...found]) this.identities.set(record.id, identityOf(record));
    for (const { id } of given) this.identities.delete(id);
    Object.assign(this.reconciled, {
      restored: restored.size,
      adopted: kept.length + changed.length,
      changed: changed.filter(({ state }, i) => state !== sorted.changed[i]?.state).length,
      unsaved: found.length,
      lost: lost.length + given.length,
      ended: stale.length,
      unknown: unknown.length - found.length,
    });
    if (open.length + lost.length + stale.length + unknown.length > 0)
      log.info(this.reconciled, 'flows of an earlier run');
    return open.filter((record) => !isOver(record));
  }

  private changedSince(before: FlowRecord, snapshot: FlowSnapshot | undefined): FlowRecord {
    // Gone since it was counted: nobody carries it any more.
    return snapshot ? recordOf(identityOf(before), snapshot) : lostFlow(before, this.parts.clock.wall());
  }

  private found(snapshot: FlowSnapshot | undefined): FlowRecord | undefined {
    const { agentOf, isCore = () => false } = this.parts;
    return snapshot && foundFlow(snapshot, agentOf, isCore);
  }

  /** As the standby of a group: has ready what can be restored, and nothing else. */
  async follow(): Promise<void> {
    this.following = true;
    await this.readiness.begin();
  }

  /** No packet comes to a standby, so what has ended there has fallen silent there, and nowhere else. */
  private async withoutEnded(flows: Map<string, Live>): Promise<void> {
    const ended = [...flows].filter(([, flow]) => isOver(flow)).map(([id]) => id);
    for (const id of ended) flows.delete(id);
    await this.parts.plane.drop(ended);
  }

  /** Takes no new flows, and leaves those that there are to another switch. */
  leave(): void {
    this.draining = true;
    this.stopped.abort();
  }

  /**
   * Takes no new flows and waits for those that the switch carries; without a switch they can't go on, so
   * what is left at the time limit, or when the signal aborts, is reset at both ends.
   */
  async stop(signal?: AbortSignal): Promise<void> {
    if (this.draining) return;
    this.draining = true;
    await drain(this.parts, signal);
    this.stopped.abort();
  }

  epoch(): Epoch {
    return {
      instance: this.instance,
      seconds: Math.floor((this.parts.clock.monotonic() - this.startedAt) / 1000),
    };
  }

  own(ports: readonly OwnedPorts[]): Promise<void> {
    return this.parts.plane.own(ports);
  }

  disown(ports: readonly OwnedPorts[]): Promise<void> {
    return this.parts.plane.disown(ports);
  }

  async pair({ id, outer, inner, shell, openedBy }: AgentPairRequest): Promise<FlowSnapshot> {
    if (this.draining)
      throw new SutureError('SUT_SHUTTING_DOWN', 'the switch is stopping and takes no new flows');
    const identity: Identity = {
      id,
      agent: shell,
      outer,
      inner,
      ...(openedBy === 'core' && { openedBy }),
      openedAt: this.parts.clock.wall(),
    };
    return this.identities.whileMade(identity, async () => {
      const request = { id, outer, inner };
      const snapshot = await this.parts.plane.pair(isTurned(identity) ? turnPair(request) : request);
      const record = recordOf(identity, snapshot);
      await this.parts.table.put(record);
      return record;
    });
  }

  async enable(
    id: string,
    offsets: StitchOffsets,
    teardown: TeardownMode,
    cause?: readonly string[],
  ): Promise<FlowSnapshot> {
    if (this.draining)
      throw new SutureError('SUT_SHUTTING_DOWN', 'the switch is stopping and stitches no more');
    const identity = this.identities.get(id);
    if (!identity) throw unknownFlow(id);
    const next = { ...identity, teardown, ...(cause && { stitchCause: cause }) };
    return this.identities.whileTried(next, async () => {
      await this.secure(id);
      const turned = isTurned(identity);
      const mapped = turned ? turnOffsets(offsets) : offsets;
      const snapshot = await this.parts.plane.enable(id, mapped, teardown);
      return turned ? turnSnapshot(snapshot) : snapshot;
    });
  }

  async proceed(id: string, from: FlowSide): Promise<FlowSnapshot> {
    const identity = this.identities.get(id);
    if (!identity) throw unknownFlow(id);
    if (!isTurned(identity)) return this.parts.plane.proceed(id, from);
    return turnSnapshot(await this.parts.plane.proceed(id, turnSide(from)));
  }

  /** Writes down that the flow may be cut from now on. */
  private async secure(id: string): Promise<void> {
    const { clock, table } = this.parts;
    const [identity, record] = [this.identities.get(id), await table.get(id)];
    // The data path knows better what is wrong with a flow that isn't there.
    if (!identity || !record || identity.enabledAt !== undefined) return;
    const enabledAt = clock.wall();
    await this.identities.whileTried({ ...identity, enabledAt }, async () => {
      await table.put({ ...record, enabledAt });
      await table.secure(id);
    });
  }

  /** A flow that has ended stays as it is. */
  async close(id: string): Promise<FlowSnapshot> {
    const record = await this.parts.table.get(id);
    if (!record) throw unknownFlow(id);
    if (record.closedAt !== undefined) return record;
    const snapshot = await this.parts.plane.close(id);
    return isTurned(record) ? turnSnapshot(snapshot) : snapshot;
  }

  async status(id: string): Promise<FlowSnapshot> {
    const record = await this.flow(id);
    if (!record) throw unknownFlow(id);
    return record;
  }

  async list(ids: readonly string[]): Promise<FlowSnapshot[]> {
    const { plane, table } = this.parts;
    const records = await Promise.all(ids.map((id) => table.get(id)));
    const known = records.filter((record) => record !== undefined);
    return this.refreshed(known, await plane.list(false, ids));
  }

  onEvent(listener: (event: FlowEvent) => void): void {
    this.eventListeners.push(listener);
  }

  /** Calls for each change of a flow until the function that it gives back is called. */
  onFlow(listener: (record: FlowRecord) => void): () => void {
    this.watchers.add(listener);
    return () => this.watchers.delete(listener);
  }

  /** The table's records, those of open flows with their counters of now. */
  async flows(filter: FlowFilter): Promise<FlowRecord[]> {
    const { plane, table } = this.parts;
    const records = listed(table.records(), filter);
    const isPart = filter.state !== undefined || filter.agent !== undefined;
    const live = await plane.list(false, isPart ? records.map(({ id }) => id) : undefined);
    return this.refreshed(records, live);
  }

  async flow(id: string): Promise<FlowRecord | undefined> {
    const record = await this.parts.table.get(id);
    if (!record) return undefined;
    return this.refreshed([record], await this.parts.plane.list(false, [id]))[0];
  }

  private refreshed(records: readonly FlowRecord[], snapshots: readonly FlowSnapshot[]): FlowRecord[] {
    const byId = new Map(snapshots.map((snapshot) => [snapshot.id, snapshot]));
    return records.map((record) => {
      const [live, identity] = [byId.get(record.id), this.identities.get(record.id)];
      return live && identity ? recordOf(identity, live) : record;
    });
  }

  private async take(told: FlowEvent): Promise<void> {
    const { log, table } = this.parts;
    const { id } = told.flow;
    const identity = this.identities.get(id);
    if (!identity) return;
    const record = recordOf(identity, told.flow);
    const event = isTurned(identity) ? turnEvent(told) : told;
    const { state, reason } = event.flow;
    try {
      await table.put(record);
    } catch (err) {
      log.error({ err, id }, 'flow table');
    }
    log.debug({ id, kind: event.kind, state, reason, from: event.from }, 'flow');
    for (const listener of this.eventListeners) listener(event);
    if (event.kind === 'state') for (const watcher of this.watchers) watcher(record);
  }
}
