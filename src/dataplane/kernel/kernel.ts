/**
 * The kernel data path as a `DataPlane`: requests become runs of the control program, and what the program tells comes by
 * its ring buffer. Packets never come up here; with this process gone the kernel goes on by itself.
 *
 * What has time in it is this process's: ticking flows that are clamped or drain or hold an end, and forgetting those that ended or
 * fell silent.
 */
import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from '../../flow/endpoints.js';
import { DEFAULT_ENGINE_OPTIONS, type EngineOptions } from '../../flow/options.js';
import { isRestorable, isSavable } from '../../flow/restore.js';
import { QUIET_MS } from '../../flow/share.js';
import type { FlowState, TeardownMode } from '../../flow/state.js';
import type { SystemClock } from '../../platform/clock.js';
import { SutureError } from '../../platform/errors.js';
import type { Logger } from '../../platform/log.js';
import { repeat } from '../../platform/repeat.js';
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
import { ControlChannel, type Reply } from './control-channel.js';
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

const { datagram: DATAGRAM } = LAYOUT;
/** In these nothing is asked of the process that takes a flow over. */
const AT_REST: ReadonlySet<FlowState> = new Set(['watched', 'relayed', 'stitched']);
const TICK_MS = 10;
const SWEEP_MS = 1000;

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
}

export class KernelDataPlane implements DataPlane {
  readonly kind = 'kernel';
  private readonly engine: EngineOptions;
  private readonly epochOffset: number;
  private readonly store = new FlowStore();
  private readonly listeners: ((event: FlowEvent) => void)[] = [];
  private readonly stopped = new AbortController();
  private readonly missListeners: (() => void)[] = [];
  /** Of flows that this switch has a copy of while it follows: those that were closing. */
  private readonly closing = new Set<Known>();
  private whole: Loaded | undefined;
  private ticking = false;
  private eventsLost = 0;

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
    this.whole = { program, owners, ring, datagrams, reader, requests, quiet, steering };
    if (program.adopted) this.adopt();
    ring.start();
    datagrams.start();
    const onError = (err: unknown): void => log.error({ err }, 'kernel data path');
    void repeat(clock, SWEEP_MS, this.stopped.signal, () => this.sweep(), onError);
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

  async restore(flows: readonly RestoreRequest[]): Promise<string[]> {
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
        if (at) this.placed({ id: flow.id, ...at }, flow);
        else
          log.warn({ flow: flow.id }, 'a flow was not restored: its tuples are taken, or the table is full');
      }
      if (this.store.get(flow.id)) restored.push(flow.id);
    }
    return restored;
  }

  private placed(known: Known, { past }: RestoreRequest): void {
    this.store.add(known);
    if (past.state === 'closing') this.closing.add(known);
    if (!this.loaded.steering.isOn) this.awaitEnds();
  }

  async steer(leader: Readonly<Record<string, string>> | undefined): Promise<void> {
    const { quiet, requests, steering } = this.loaded;
    const began = leader !== undefined && !steering.isOn;
    if (leader === undefined && steering.isOn) quiet.since = this.options.clock.kernel();
    steering.set(leader);
    if (began) for (const known of this.store.all()) requests.unlearn(known);
    if (leader === undefined) this.awaitEnds();
  }

  /** Nobody else looks after flows that close. */
  private awaitEnds(): void {
    for (const known of this.closing) if (this.store.get(known.id) === known) this.awaitEnd(known);
    this.closing.clear();
  }

  /** In a group whose switches all carry packets, silence may be all that tells of a flow's end. */
  private awaitEnd(known: Known): void {
    if (this.engine.shared && !this.store.holding.has(known)) this.tickLater(known, QUIET_MS);
  }

  async drop(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      const known = this.store.get(id);
      if (known) this.forget(known);
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
    this.tickAsDue(known, this.loaded.requests.proceed(known, from));
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
    for (const listener of this.listeners) listener(event);
    if (known && event.kind === 'state') this.follow(known, event.flow);
    if (known && event.held) this.tickLater(known, this.engine.teardownLimit);
    else if (known && event.kind === 'fin') this.awaitEnd(known);
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

  /** What a new state asks of this process. */
  private follow(known: Known, flow: FlowSnapshot): void {
    const { state } = flow;
    if (state === 'relayed' && known.wanted) {
      const { wanted } = known;
      queueMicrotask(() => this.stopped.signal.aborted || this.begin(known, wanted));
    } else if (state === 'clamping' || state === 'cutting') {
      this.store.moving.add(known);
      void this.tickWhileMoving();
    } else if (state === 'closed' || state === 'broken') {
      this.ended(known, flow);
    } else {
      this.store.moving.delete(known);
      if (state === 'refused') known.wanted = undefined;
      if (state === 'closing') this.closing.add(known);
      if (!this.whole?.steering.isOn) this.awaitEnds();
    }
  }

  /** A relayed flow is forgotten at once; late packets of one that was cut are still translated for a while. */
  private ended(known: Known, { history, reason }: FlowSnapshot): void {
    const wasCut = history.some(({ state }) => state === 'cutting' || state === 'stitched');
    const { lingerClosed, lingerReset } = this.engine;
    const linger = wasCut ? (reason === 'fin' ? lingerClosed : lingerReset) : 0;
    this.store.linger(known, this.options.clock.kernel() + linger);
    if (!wasCut) queueMicrotask(() => this.forget(known));
  }

  private forget(known: Known): void {
    if (!this.whole) return;
    this.whole.requests.forget(known);
    this.store.forget(known);
    this.closing.delete(known);
  }

  /** A flow that holds something is ticked when that is due. */
  private tickAsDue(known: Known, { due }: Reply): void {
    if (due === 0) this.store.holding.delete(known);
    else this.tickLater(known, due);
  }

  private tickLater(known: Known, ms: number): void {
    this.store.holding.set(known, this.options.clock.kernel() + ms);
    void this.tickWhileMoving();
  }

  private async tickWhileMoving(): Promise<void> {
    if (this.ticking) return;
    this.ticking = true;
    const { clock } = this.options;
    const { signal } = this.stopped;
    const { moving, holding } = this.store;
    while (moving.size + holding.size > 0 && !signal.aborted) {
      await clock.sleep(TICK_MS, signal).catch(() => {});
      if (signal.aborted) break;
      const { requests } = this.loaded;
      for (const known of moving) requests.tick(known);
      const now = clock.kernel();
      for (const [known, at] of holding) if (at <= now) this.tickAsDue(known, requests.tick(known));
      this.consume();
    }
    this.ticking = false;
  }

  // ---- forgetting, and what was missed

  private sweep(): void {
    const now = this.options.clock.kernel();
    for (const known of this.store.due(now)) this.forget(known);
    // Copies of another switch's flows neither move on nor end by themselves.
    if (this.whole?.steering.isOn) return;
    this.lookForLostEvents();
    this.whole?.quiet.look(now);
  }

  /** A full ring buffer loses events, never states: then each flow is looked at. */
  private lookForLostEvents(): void {
    const { reader } = this.loaded;
    const { eventsLost = 0 } = reader.counters();
    if (eventsLost === this.eventsLost) return;
    this.eventsLost = eventsLost;
    this.options.log.warn({ eventsLost }, 'the event buffer was full; flows are compared one by one');
    for (const known of [...this.store.all()]) {
      if (this.store.lingers(known)) continue;
      const flow = this.snapshot(known);
      for (const listener of this.listeners) listener({ kind: 'state', flow });
      this.follow(known, flow);
      if (reader.read(known.slot).holds) this.tickLater(known, 0);
    }
  }

  /** Takes over the flows that a former process left in the kernel. */
  private adopt(): void {
    this.loaded.reader.each((record, slot) => {
      if (!record.used || !record.paired) return;
      const { generation, holds, id, isIpv6, state } = record;
      const known = { id, slot, generation, isIpv6 };
      this.store.add(known);
      if (!AT_REST.has(state)) this.follow(known, record.snapshot(this.epochOffset));
      if (holds) this.tickLater(known, 0);
    });
  }
}

function conflict(which: string, { local, remote }: ConnectionEndpoints): SutureError {
  const ends = `${remote.address} port ${remote.port} to ${local.address} port ${local.port}`;
  return new SutureError('SUT_CONFLICT', `the ${which} connection (${ends}) belongs to another flow`);
}
