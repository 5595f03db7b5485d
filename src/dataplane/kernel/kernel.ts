/**
 * The kernel data path as a `DataPlane`: requests become runs of the control program, and what the program tells comes by
 * its ring buffer. Packets never come up here; with this process gone the kernel goes on by itself.
 * What has time in it is this process's: `upkeep.ts`.
 */
import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from '../../flow/endpoints.js';
import { DEFAULT_ENGINE_OPTIONS, type EngineOptions } from '../../flow/options.js';
import { isRestorable, isSavable } from '../../flow/restore.js';
import type { FlowState, TeardownMode } from '../../flow/state.js';
import type { SystemClock } from '../../platform/clock.js';
import { SutureError } from '../../platform/errors.js';
import type { Logger } from '../../platform/log.js';
import { interfaceFacts } from '../interface-facts.js';
import type {
  DataPlane,
  FlowEvent,
  FlowSide,
  FlowSnapshot,
  FlowStates,
  OnFrame,
  PairRequest,
  RestoreRequest,
} from '../port.js';
import { type BriefFlow, statesOf } from '../snapshot.js';
import { ControlChannel } from './control-channel.js';
import { FlowStore, type Known, type Wish } from './flow-store.js';
import { Answer, ID_BYTES, LAYOUT } from './layout.js';
import { BPFFS, type RingBuffer } from './libbpf.js';
import { Owners } from './owners.js';
import { KernelProgram } from './program.js';
import { QuietFlows } from './quiet-flows.js';
import { RecordReader } from './record-reader.js';
import { isMiss, readEvent } from './records.js';
import { Restorer } from './restorer.js';
import { savedOf } from './saved.js';
import { Steering } from './steering.js';
import { Upkeep } from './upkeep.js';

const { datagram: DATAGRAM } = LAYOUT;

export interface KernelOptions {
  readonly name: string;
  readonly interfaces: readonly string[];
  /** Where the BPF filesystem is mounted; by default where it usually is. */
  readonly bpffs?: string;
  readonly maxFlows: number;
  readonly engine: Partial<EngineOptions>;
  /** Who is given the frames of UDP datagrams to this port. */
  readonly discovery?: { readonly port: number; readonly onFrame: OnFrame };
  /** The addresses of all shells: whose packets are steered while another switch leads. */
  readonly shells: readonly string[];
  readonly clock: SystemClock;
  readonly log: Logger;
}

/** What there is while the program is loaded. */
interface Loaded {
  readonly program: KernelProgram;
  readonly owners: Owners;
  readonly ring: RingBuffer;
  readonly datagrams: RingBuffer;
  readonly reader: RecordReader;
  readonly requests: ControlChannel;
  readonly quiet: QuietFlows;
  readonly steering: Steering;
  readonly upkeep: Upkeep;
}

export class KernelDataPlane implements DataPlane {
  readonly kind = 'kernel';
  private readonly engine: EngineOptions;
  private readonly epochOffset: number;
  private readonly store = new FlowStore();
  private readonly listeners: ((event: FlowEvent) => void)[] = [];
  private readonly stopped = new AbortController();
  private readonly missListeners: (() => void)[] = [];
  private whole: Loaded | undefined;

  constructor(private readonly options: KernelOptions) {
    const { clock, engine } = options;
    this.engine = { ...DEFAULT_ENGINE_OPTIONS, ...engine };
    this.epochOffset = clock.wall() - clock.kernel();
  }

  async start(): Promise<void> {
    const { bpffs = BPFFS, clock, discovery, log, name, maxFlows } = this.options;
    const facts = await Promise.all(this.options.interfaces.map(interfaceFacts));
    const interfaces = facts.map(({ device, index }) => ({ name: device, index }));
    const discoveryPort = discovery?.port ?? 0;
    const program = new KernelProgram({
      name,
      interfaces,
      bpffs,
      maxFlows,
      engine: this.engine,
      discoveryPort,
    });
    await program.start();
    const { store } = this;
    const reader = new RecordReader(program);
    const requests = new ControlChannel(program, interfaces[0]?.index ?? 0);
    const quiet = new QuietFlows({ reader, requests, store, limits: this.engine, maxFlows });
    const ring = program.events((record) => this.take(record));
    const names = new Map(interfaces.map(({ name, index }) => [index, name]));
    const datagrams = program.datagrams((record) => this.takeDatagram(record, names));
    const steering = new Steering((map) => program.map(map), facts, this.options.shells);
    const owners = new Owners(program.map('owners'));
    const { engine, epochOffset } = this;
    const upkeep = new Upkeep({
      ...{ store, reader, requests, quiet, steering, engine, epochOffset, clock, log },
      stopped: this.stopped.signal,
      consume: () => this.consume(),
      tell: (event) => this.tell(event),
      begin: (known, wish) => this.begin(known, wish),
    });
    this.whole = { program, owners, ring, datagrams, reader, requests, quiet, steering, upkeep };
    if (program.adopted) upkeep.adopt();
    ring.start();
    datagrams.start();
    upkeep.start();
    const { adopted } = program;
    log.info({ adopted, flows: store.size }, 'kernel data path is loaded');
  }

  async forward(): Promise<void> {
    const { interfaces, log } = this.options;
    this.whole?.program.attach();
    log.info({ interfaces, flows: this.store.size }, 'kernel data path is up');
  }

  async stop(): Promise<void> {
    await this.letGo()?.remove();
  }

  async leave(): Promise<void> {
    this.letGo()?.close();
  }

  private letGo(): KernelProgram | undefined {
    const { whole } = this;
    this.stopped.abort();
    whole?.ring.stop();
    whole?.datagrams.stop();
    this.whole = undefined;
    return whole?.program;
  }

  async restore(flows: Iterable<RestoreRequest>): Promise<string[]> {
    const { clock, log } = this.options;
    const restorer = new Restorer({
      map: (name) => this.loaded.program.map(name),
      forget: ({ slot, generation }) => {
        const known = this.store.at(slot, generation);
        this.loaded.requests.forget(known ?? { slot, generation, isIpv6: false });
        if (known) this.store.forget(known);
      },
    });
    const restored: string[] = [];
    for (const flow of flows) {
      if (!this.store.get(flow.id)) {
        const at = restorer.restore(flow, clock.kernel(), this.epochOffset);
        if (at) this.placed({ id: flow.id, ...at }, flow.past.state);
        else
          log.warn({ flow: flow.id }, 'a flow was not restored: its tuples are taken, or the table is full');
      }
      if (this.store.get(flow.id)) restored.push(flow.id);
    }
    return restored;
  }

  private placed(known: Known, state: FlowState): void {
    this.store.add(known);
    this.loaded.upkeep.placed(known, state);
  }

  async steer(leader: Readonly<Record<string, string>> | undefined): Promise<void> {
    const { quiet, requests, steering, upkeep } = this.loaded;
    const began = leader !== undefined && !steering.isOn;
    if (leader === undefined && steering.isOn) quiet.since = this.options.clock.kernel();
    steering.set(leader);
    if (began) for (const known of this.store.all()) requests.unlearn(known);
    if (leader === undefined) upkeep.awaitEnds();
  }

  async drop(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      const known = this.store.get(id);
      if (known) this.whole?.upkeep.forget(known);
    }
  }

  async own(ports: readonly OwnedPorts[]): Promise<void> {
    for (const one of ports) this.whole?.owners.add(one);
  }

  async disown(ports: readonly OwnedPorts[]): Promise<void> {
    for (const one of ports) this.whole?.owners.remove(one);
  }

  async pair(request: PairRequest): Promise<FlowSnapshot> {
    const { id, outer, inner } = request;
    if (this.store.get(id)) throw new SutureError('SUT_FLOW_EXISTS', `flow ${id} exists already`);
    if (Buffer.byteLength(id) > ID_BYTES) {
      throw new SutureError('SUT_INTERNAL', `flow id ${id}: the kernel path holds ${ID_BYTES} bytes of one`);
    }
    const { answer, slot, generation, isIpv6 } = this.loaded.requests.pair(request);
    if (answer === Answer.OuterTaken) throw conflict('outer', outer);
    if (answer === Answer.InnerTaken) throw conflict('inner', inner);
    if (answer !== Answer.Done) {
      const message = `the kernel path's table is full (\`limits.flows: ${this.options.maxFlows}\`)`;
      throw new SutureError('SUT_LIMIT', message);
    }
    const known = { id, slot, generation, isIpv6 };
    this.store.add(known);
    return this.snapshot(known);
  }

  async enable(id: string, offsets: StitchOffsets, teardown: TeardownMode): Promise<FlowSnapshot> {
    const known = this.known(id);
    this.begin(known, { offsets, teardown });
    return this.snapshot(known);
  }

  async proceed(id: string, from: FlowSide): Promise<FlowSnapshot> {
    const known = this.known(id);
    const { requests, upkeep } = this.loaded;
    upkeep.tickAsDue(known, requests.proceed(known, from));
    return this.afterwards(known);
  }

  async close(id: string): Promise<FlowSnapshot> {
    const known = this.known(id);
    this.loaded.requests.close(known);
    return this.afterwards(known);
  }

  async list(withSaved = false, ids?: readonly string[]): Promise<FlowSnapshot[]> {
    const wanted = ids ? ids.flatMap((id) => this.store.get(id) ?? []) : [...this.store.all()];
    return wanted.map((known) => {
      const record = this.loaded.reader.read(known.slot);
      const { teardown } = record;
      const ends = { outer: record.endpoints(0), inner: record.endpoints(1) };
      const saved = withSaved ? savedOf(record) : undefined;
      return { ...record.snapshot(this.epochOffset), ends, teardown, ...(saved && { saved }) };
    });
  }

  async states(): Promise<FlowStates> {
    const flows: BriefFlow[] = [];
    this.loaded.reader.each((record, slot) => {
      const { generation, state } = record;
      const known = this.store.at(slot, generation);
      if (known) flows.push({ id: known.id, state, savable: isSavable(record) });
    });
    return statesOf(flows);
  }

  async counters(): Promise<Record<string, number>> {
    if (!this.whole) return {};
    const { program, reader } = this.whole;
    return {
      ...reader.counters(),
      connections: 2 * this.store.size,
      kernelMemory: program.flowMemory(),
    };
  }

  onEvent(listener: (event: FlowEvent) => void): void {
    this.listeners.push(listener);
  }

  onMiss(listener: () => void): void {
    this.missListeners.push(listener);
  }

  // ---- requests

  private begin(known: Known, wish: Wish): void {
    const { answer, state } = this.loaded.requests.enable(known, wish);
    if (answer === Answer.State) {
      throw new SutureError(
        'SUT_FLOW_STATE',
        `flow ${known.id} is ${this.snapshot(known).state}; only a flow that is open can be stitched`,
      );
    }
    // Still watched: asked for again when both handshakes are complete.
    known.wanted = state === 0 ? wish : undefined;
    this.consume();
  }

  private get loaded(): Loaded {
    if (!this.whole) throw new SutureError('SUT_SHUTTING_DOWN', 'the kernel data path is stopped');
    return this.whole;
  }

  private known(id: string): Known {
    const known = this.store.get(id);
    if (!known) throw new SutureError('SUT_FLOW_UNKNOWN', `no flow has the id ${id}`);
    return known;
  }

  private snapshot({ slot }: Known): FlowSnapshot {
    return this.loaded.reader.read(slot).snapshot(this.epochOffset);
  }

  /** As a request left the flow; what it caused is told first. */
  private afterwards(known: Known): FlowSnapshot {
    const snapshot = this.snapshot(known);
    this.consume();
    return snapshot;
  }

  // ---- events

  /** Tells what has happened by now, before the answer to a request does. */
  private consume(): void {
    this.whole?.ring.consume();
  }

  private take(bytes: Buffer): void {
    const told = readEvent(bytes, this.epochOffset);
    if (!told) {
      if (isMiss(bytes)) for (const listener of this.missListeners) listener();
      return;
    }
    const known = this.store.at(told.slot, told.generation);
    const event = known ? this.withSaved(told.event, known) : told.event;
    this.tell(event);
    if (known) this.whole?.upkeep.told(known, event);
  }

  private tell(event: FlowEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  private takeDatagram(record: Buffer, names: ReadonlyMap<number, string>): void {
    const name = names.get(record.readUInt32LE(DATAGRAM.ifindex));
    const length = record.readUInt32LE(DATAGRAM.length);
    if (name !== undefined) this.options.discovery?.onFrame(name, record.subarray(DATAGRAM.bytes), length);
  }

  private withSaved(event: FlowEvent, { slot, generation }: Known): FlowEvent {
    if (!isRestorable(event.flow.state)) return event;
    const record = this.loaded.reader.read(slot);
    const saved = record.generation === generation ? savedOf(record) : undefined;
    return saved ? { ...event, flow: { ...event.flow, saved } } : event;
  }
}

function conflict(which: string, { local, remote }: ConnectionEndpoints): SutureError {
  const ends = `${remote.address} port ${remote.port} to ${local.address} port ${local.port}`;
  return new SutureError('SUT_CONFLICT', `the ${which} connection (${ends}) belongs to another flow`);
}
