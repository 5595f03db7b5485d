/**
 * The userspace data path: captures, gate, flow engine and raw sockets put together, as a `DataPlane`.
 *
 * A capture holds up the event loop for as long as packets keep coming, so between packets this looks itself
 * for what must not wait: the engine's timers, and `poll`, by which requests of another thread are served.
 */
import { networkInterfaces } from 'node:os';
import type { OwnedPorts, StitchOffsets } from '../../flow/endpoints.js';
import { type EngineOptions, FlowEngine } from '../../flow/engine.js';
import { FlowRequestError } from '../../flow/errors.js';
import type { Flow } from '../../flow/flow.js';
import { isSavable } from '../../flow/restore.js';
import type { TeardownMode } from '../../flow/state.js';
import type { Clock } from '../../platform/clock.js';
import { SutureError } from '../../platform/errors.js';
import type { Logger } from '../../platform/log.js';
import { canonicalAddress } from '../../wire/endpoint.js';
import { type InterfaceFacts, interfaceFacts } from '../interface-facts.js';
import type {
  DataPlane,
  FlowEvent,
  FlowSide,
  FlowSnapshot,
  FlowStates,
  PairRequest,
  RestoreRequest,
} from '../port.js';
import { eventOf, snapshotOf, statesOf } from '../snapshot.js';
import { Capture, packetFilter } from './capture.js';
import { Gate } from './gate.js';
import { PacketPath } from './packet-path.js';
import { Sender } from './sender.js';

const TICK_MS = 10;
/** Packets between two looks at the clock and at requests. */
const PACKETS_PER_TURN = 64;

export interface UserspaceOptions {
  /** Of the switch; the nftables table is called after it. */
  readonly name: string;
  readonly interfaces: readonly string[];
  /** Addresses of all agents: only their packets are captured. */
  readonly agents: readonly string[];
  readonly engine: Partial<EngineOptions>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Its flows are saved, and another process goes on with them when this one is gone. */
  readonly survives?: boolean;
  /** Called between packets, when the event loop may have been waiting for long. */
  readonly poll?: () => void;
  /** The path can't go on. */
  readonly onFailure: (error: SutureError) => void;
}

export class UserspaceDataPlane implements DataPlane {
  readonly kind = 'userspace';
  private readonly engine: FlowEngine;
  private readonly sender = new Sender();
  private readonly gate: Gate;
  private readonly epochOffset: number;
  private readonly listeners: ((event: FlowEvent) => void)[] = [];
  private readonly stopped = new AbortController();
  private path: PacketPath | undefined;
  private captures: Capture[] = [];
  /** Told only when the packets that they speak of have been sent. */
  private readonly events: FlowEvent[] = [];
  /** Ports that were owned before packets are carried. */
  private readonly early: OwnedPorts[] = [];
  private turn = 0;
  /** `sendTooBig` when the interfaces were last looked at. */
  private tooBig = 0;
  private lastTick = 0;

  constructor(private readonly options: UserspaceOptions) {
    const { clock, name, interfaces } = options;
    this.epochOffset = clock.wall() - clock.monotonic();
    this.engine = new FlowEngine(options.engine, (...told) =>
      this.events.push(eventOf(...told, this.epochOffset)),
    );
    this.gate = new Gate(name, interfaces, clock, options.onFailure, options.survives);
  }

  async start(): Promise<void> {
    // What is wrong with the interfaces is told before anything else is done.
    await Promise.all(this.options.interfaces.map((device) => interfaceFacts(device)));
  }

  async forward(): Promise<void> {
    if (this.path) return;
    const { interfaces, agents, log } = this.options;
    const facts = await this.facts();
    const mtu = smallestMtu(facts);
    const own = ownAddresses();
    try {
      this.sender.start();
      await this.gate.start(this.early.splice(0));
      this.path = new PacketPath(this.engine, this.sender, mtu);
      if (agents.length > 0) {
        for (const { device, mac } of facts) {
          const capture = new Capture(device, packetFilter(mac, agents, own), this.onFrame);
          this.captures.push(capture);
          capture.start();
        }
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
    void this.tickUntilStopped();
    log.info({ interfaces, mtu }, 'userspace data path is up');
  }

  stop(): Promise<void> {
    return this.end(false);
  }

  leave(): Promise<void> {
    return this.end(true);
  }

  private async end(keep: boolean): Promise<void> {
    this.stopped.abort();
    // The gate goes first: from then on the host forwards, and no packet is carried by nobody.
    await this.gate.stop(keep);
    for (const capture of this.captures) capture.stop();
    this.captures = [];
    this.sender.stop();
  }

  async restore(flows: Iterable<RestoreRequest>): Promise<string[]> {
    const { clock, log } = this.options;
    const restored: string[] = [];
    for (const { id, outer, inner, saved, past, teardown } of flows) {
      const history = past.history.map(({ state, at }) => ({ state, at: at - this.epochOffset }));
      try {
        const now = clock.monotonic();
        this.engine.restore(id, { outer, inner }, saved, { ...past, history }, now, teardown);
        restored.push(id);
      } catch (error) {
        if (!(error instanceof FlowRequestError)) throw error;
        if (error.code === 'SUT_FLOW_EXISTS') restored.push(id);
        else log.warn({ flow: id, cause: error.message }, 'a flow was not restored');
      }
    }
    return restored;
  }

  async drop(ids: readonly string[]): Promise<void> {
    for (const id of ids) this.engine.drop(id);
  }

  async own(ports: readonly OwnedPorts[]): Promise<void> {
    // The engine first: a packet that the gate drops already must be carried.
    for (const one of ports) this.engine.own(one);
    try {
      if (this.path) await this.gate.add(ports);
      else this.early.push(...ports);
    } catch (error) {
      for (const one of ports) this.engine.disown(one);
      throw error;
    }
  }

  async disown(ports: readonly OwnedPorts[]): Promise<void> {
    await this.gate.remove(ports);
    for (const one of ports) this.engine.disown(one);
  }

  async pair(request: PairRequest): Promise<FlowSnapshot> {
    return this.request((now) => this.engine.pair(request.id, request.outer, request.inner, now));
  }

  async enable(id: string, offsets: StitchOffsets, teardown: TeardownMode): Promise<FlowSnapshot> {
    return this.request((now) => this.engine.enable(id, offsets, now, teardown));
  }

  async proceed(id: string, from: FlowSide): Promise<FlowSnapshot> {
    return this.request((now) => this.engine.proceed(id, from, now));
  }

  async close(id: string): Promise<FlowSnapshot> {
    return this.request((now) => this.engine.close(id, now));
  }

  async list(withSaved = false, ids?: readonly string[]): Promise<FlowSnapshot[]> {
    const flows = ids ? ids.flatMap((id) => this.engine.flow(id) ?? []) : [...this.engine.flows()];
    return flows.map((flow) => snapshotOf(flow, this.epochOffset, withSaved));
  }

  async states(): Promise<FlowStates> {
    const flows = [...this.engine.flows()];
    return statesOf(flows.map((flow) => ({ id: flow.id, state: flow.state, savable: isSavable(flow) })));
  }

  async counters(): Promise<Record<string, number>> {
    return { ...this.path?.counters, ...this.engine.counters, connections: this.engine.connections };
  }

  /** `scaleOut` is refused on this path: what is steered would have to leave as a frame, whole or cut to size. */
  async steer(leader: Readonly<Record<string, string>> | undefined): Promise<void> {
    if (leader) throw new SutureError('SUT_DATAPLANE_UNAVAILABLE', 'the userspace path steers nothing');
  }

  onMiss(): void {}

  onEvent(listener: (event: FlowEvent) => void): void {
    this.listeners.push(listener);
  }

  private readonly onFrame = (bytes: Buffer, length: number, truncated: boolean): void => {
    const now = this.options.clock.monotonic();
    this.path?.receive(bytes, length, truncated, now);
    if (this.events.length > 0) this.tellEvents();
    if (++this.turn % PACKETS_PER_TURN !== 0) return;
    if (now - this.lastTick >= TICK_MS) this.tick(now);
    this.options.poll?.();
  };

  private request(change: (now: number) => Flow): FlowSnapshot {
    try {
      const flow = change(this.options.clock.monotonic());
      this.path?.sendMade();
      this.engine.outbox.clear();
      this.tellEvents();
      return snapshotOf(flow, this.epochOffset);
    } catch (error) {
      if (error instanceof FlowRequestError)
        throw new SutureError(error.code, error.message, { cause: error });
      throw error;
    }
  }

  private tick(now: number): void {
    this.lastTick = now;
    this.engine.tick(now);
    this.path?.sendMade();
    this.tellEvents();
    if (this.path && this.path.counters.sendTooBig !== this.tooBig) void this.lookAtMtu(this.path);
  }

  private facts(): Promise<InterfaceFacts[]> {
    return Promise.all(this.options.interfaces.map((device) => interfaceFacts(device)));
  }

  /** A packet that did not fit: an interface's MTU may have become smaller. Its sender repeats what it was. */
  private async lookAtMtu(path: PacketPath): Promise<void> {
    this.tooBig = path.counters.sendTooBig;
    const { log } = this.options;
    try {
      const mtu = smallestMtu(await this.facts());
      if (mtu !== path.mtu) log.warn({ mtu, before: path.mtu }, 'packets are split for another MTU');
      path.mtu = mtu;
    } catch (err) {
      log.warn({ err }, 'the MTU of the interfaces can not be read');
    }
  }

  private async tickUntilStopped(): Promise<void> {
    const { clock } = this.options;
    const { signal } = this.stopped;
    while (!signal.aborted) {
      await clock.sleep(TICK_MS, signal).catch(() => {});
      if (!signal.aborted) this.tick(clock.monotonic());
    }
  }

  private tellEvents(): void {
    for (const event of this.events.splice(0)) for (const listener of this.listeners) listener(event);
  }
}

function smallestMtu(facts: readonly InterfaceFacts[]): number {
  return Math.min(...facts.map(({ mtu }) => mtu));
}

/** This host's own addresses: packets for them are the host's. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.flatMap(({ address, internal }) => {
    const text = canonicalAddress(address.split('%')[0] ?? '');
    return internal || text === undefined ? [] : [text];
  });
}
