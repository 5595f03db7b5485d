/**
 * The kernel data path as a `DataPlane`: requests become runs of the control program, and what the program tells comes by
 * its ring buffer. Packets never come up here; with this process gone the kernel goes on by itself.
 *
 * What has time in it is this process's: ticking flows that are clamped or drain or hold an end, and forgetting those that ended or
 * fell silent.
 */
import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from '../../flow/endpoints.js';
import { DEFAULT_ENGINE_OPTIONS, type EngineOptions } from '../../flow/options.js';
import { isRestorable } from '../../flow/restore.js';
import { TEARDOWN_MODES, type TeardownMode } from '../../flow/state.js';
import type { SystemClock } from '../../platform/clock.js';
import { SutureError } from '../../platform/errors.js';
import type { Logger } from '../../platform/log.js';
import { run } from '../../platform/process.js';
import { repeat } from '../../platform/repeat.js';
import type { DataPlane, FlowEvent, FlowSide, FlowSnapshot, PairRequest, RestoreRequest } from '../port.js';
import { FlowStore, type Known, type Wish } from './flow-store.js';
import { Answer, Ask, COUNTERS, From, ID_BYTES, LAYOUT } from './layout.js';
import { BPFFS, ElementFlag, type RingBuffer } from './libbpf.js';
import { Owners } from './owners.js';
import { type KernelInterface, KernelProgram } from './program.js';
import { RecordView, readEvent, writeEndpoints, writeOffsets } from './records.js';
import { Restorer } from './restorer.js';
import { savedOf } from './saved.js';

const TICK_MS = 10;
const SWEEP_MS = 1000;
/** All records are looked at once in so many sweeps. */
const SWEEPS_PER_ROUND = 30;
const ETHERNET_HEADER = 14;
const ETHERTYPE = { at: 12, ipv4: 0x0800, ipv6: 0x86dd } as const;
/** Room for the largest packet that the control program makes of its request. */
const REQUEST_FRAME = 256;

export interface KernelOptions {
  readonly name: string;
  readonly interfaces: readonly string[];
  /** Where the BPF filesystem is mounted; by default where it usually is. */
  readonly bpffs?: string;
  readonly maxFlows: number;
  readonly engine: Partial<EngineOptions>;
  readonly clock: SystemClock;
  readonly log: Logger;
}

interface Reply {
  readonly answer: number;
  readonly slot: number;
  readonly generation: number;
  readonly state: number;
  /** Milliseconds until a flow that holds something is to be ticked; 0 for not at all. */
  readonly due: number;
}

export class KernelDataPlane implements DataPlane {
  readonly kind = 'kernel';
  private readonly engine: EngineOptions;
  private readonly epochOffset: number;
  private readonly store = new FlowStore();
  private readonly listeners: ((event: FlowEvent) => void)[] = [];
  private readonly stopped = new AbortController();
  private program: KernelProgram | undefined;
  private owners: Owners | undefined;
  private ring: RingBuffer | undefined;
  private firstInterface = 0;
  private ticking = false;
  private eventsLost = 0;

  private readonly frame = Buffer.alloc(REQUEST_FRAME);
  private readonly key = Buffer.alloc(4);
  private readonly reply = Buffer.alloc(LAYOUT.reply.size);
  private readonly record = new RecordView(Buffer.alloc(LAYOUT.flow.size));
  private sweepAt = 0;

  constructor(private readonly options: KernelOptions) {
    const { clock, engine } = options;
    this.engine = { ...DEFAULT_ENGINE_OPTIONS, ...engine };
    this.epochOffset = clock.wall() - clock.kernel();
  }

  async start(): Promise<void> {
    const { bpffs = BPFFS, clock, log, name, maxFlows } = this.options;
    const interfaces = await interfacesOf(this.options.interfaces);
    this.firstInterface = interfaces[0]?.index ?? 0;
    const program = new KernelProgram({ name, interfaces, bpffs, maxFlows, engine: this.engine });
    await program.start();
    this.program = program;
    this.owners = new Owners(program.map('owners'));
    if (program.adopted) this.adopt();
    this.ring = program.events((record) => this.take(record));
    this.ring.start();
    const onError = (err: unknown): void => log.error({ err }, 'kernel data path');
    void repeat(clock, SWEEP_MS, this.stopped.signal, () => this.sweep(), onError);
    const { adopted } = program;
    log.info({ adopted, flows: this.store.size }, 'kernel data path is loaded');
  }

  async forward(): Promise<void> {
    const { interfaces, log } = this.options;
    this.program?.attach();
    log.info({ interfaces, flows: this.store.size }, 'kernel data path is up');
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    this.ring?.stop();
    await this.program?.remove();
    this.program = undefined;
  }

  async leave(): Promise<void> {
    this.stopped.abort();
    this.ring?.stop();
    this.program?.close();
    this.program = undefined;
  }

  async restore(flows: readonly RestoreRequest[]): Promise<string[]> {
    const { clock, log } = this.options;
    const restorer = new Restorer({
      map: (name) => this.loaded.map(name),
      forget: ({ slot, generation }) => {
        const known = this.store.at(slot, generation);
        this.askAbout(known ?? { id: '', slot, generation, isIpv6: false }, Ask.Forget);
        if (known) this.store.forget(known);
      },
    });
    const restored: string[] = [];
    for (const flow of flows) {
      if (!this.store.get(flow.id)) {
        const at = restorer.restore(flow, clock.kernel(), this.epochOffset);
        if (at) this.store.add({ id: flow.id, ...at });
        else
          log.warn({ flow: flow.id }, 'a flow was not restored: its tuples are taken, or the table is full');
      }
      if (this.store.get(flow.id)) restored.push(flow.id);
    }
    return restored;
  }

  async drop(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      const known = this.store.get(id);
      if (known) this.forget(known);
    }
  }

  async own(ports: readonly OwnedPorts[]): Promise<void> {
    for (const one of ports) this.owners?.add(one);
  }

  async disown(ports: readonly OwnedPorts[]): Promise<void> {
    for (const one of ports) this.owners?.remove(one);
  }

  async pair({ id, outer, inner }: PairRequest): Promise<FlowSnapshot> {
    if (this.store.get(id)) throw new SutureError('SUT_FLOW_EXISTS', `flow ${id} exists already`);
    if (Buffer.byteLength(id) > ID_BYTES) {
      throw new SutureError('SUT_INTERNAL', `flow id ${id}: the kernel path holds ${ID_BYTES} bytes of one`);
    }
    const isIpv6 = this.writePair(id, outer, inner);
    const { answer, slot, generation } = this.ask(Ask.Pair, isIpv6);
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
    this.frame.fill(0);
    this.frame.writeUInt32LE(from === 'peer' ? From.Peer : From.Core, ETHERNET_HEADER + LAYOUT.request.from);
    this.askHeld(known, Ask.Proceed);
    const snapshot = this.snapshot(known);
    this.consume();
    return snapshot;
  }

  async close(id: string): Promise<FlowSnapshot> {
    const known = this.known(id);
    this.askAbout(known, Ask.Close);
    const snapshot = this.snapshot(known);
    this.consume();
    return snapshot;
  }

  async list(withSaved = false): Promise<FlowSnapshot[]> {
    return [...this.store.all()].map((known) => {
      const record = this.read(known.slot);
      const ends = { outer: record.endpoints(0), inner: record.endpoints(1) };
      const saved = withSaved ? savedOf(record) : undefined;
      return { ...record.snapshot(this.epochOffset), ends, ...(saved && { saved }) };
    });
  }

  async counters(): Promise<Record<string, number>> {
    const { program } = this;
    if (!program) return {};
    const map = program.map('counters');
    const values = Buffer.alloc(map.valueBytes);
    const counters: Record<string, number> = {};
    COUNTERS.forEach((name, i) => {
      this.key.writeUInt32LE(i);
      map.lookup(this.key, values);
      let sum = 0;
      for (let at = 0; at < map.valueBytes; at += map.cpuStride) sum += Number(values.readBigUInt64LE(at));
      counters[name] = sum;
    });
    return { ...counters, connections: 2 * this.store.size, kernelMemory: program.flowMemory() };
  }

  onEvent(listener: (event: FlowEvent) => void): void {
    this.listeners.push(listener);
  }

  // ---- requests

  private begin(known: Known, wish: Wish): void {
    this.frame.fill(0);
    writeOffsets(this.frame, ETHERNET_HEADER, wish.offsets);
    const mode = TEARDOWN_MODES.indexOf(wish.teardown);
    this.frame.writeUInt32LE(mode, ETHERNET_HEADER + LAYOUT.request.teardown);
    const { answer, state } = this.askAbout(known, Ask.Enable);
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

  private writePair(id: string, outer: ConnectionEndpoints, inner: ConnectionEndpoints): boolean {
    const { outer: outerAt, inner: innerAt, id: idAt } = LAYOUT.request;
    this.frame.fill(0);
    const isIpv4 = writeEndpoints(this.frame, ETHERNET_HEADER + outerAt, outer);
    writeEndpoints(this.frame, ETHERNET_HEADER + innerAt, inner);
    this.frame.write(id, ETHERNET_HEADER + idAt, 'latin1');
    return !isIpv4;
  }

  private askAbout(known: Known, ask: Ask): Reply {
    const { slot, generation } = LAYOUT.request;
    if (ask !== Ask.Enable && ask !== Ask.Proceed) this.frame.fill(0);
    this.frame.writeUInt32LE(known.slot, ETHERNET_HEADER + slot);
    this.frame.writeUInt32LE(known.generation, ETHERNET_HEADER + generation);
    return this.ask(ask, known.isIpv6);
  }

  /** … and notes when the flow is to be ticked again. */
  private askHeld(known: Known, ask: typeof Ask.Tick | typeof Ask.Proceed): void {
    const { due } = this.askAbout(known, ask);
    if (due === 0) this.store.holding.delete(known);
    else this.tickLater(known, due);
  }

  private tickLater(known: Known, ms: number): void {
    this.store.holding.set(known, this.options.clock.kernel() + ms);
    void this.tickWhileMoving();
  }

  /** Runs the control program on the request in `frame`. */
  private ask(ask: Ask, isIpv6: boolean): Reply {
    const { program, frame, key, reply } = this;
    if (!program) throw new SutureError('SUT_SHUTTING_DOWN', 'the kernel data path is stopped');
    const { request: REQUEST, reply: REPLY } = LAYOUT;
    frame.writeUInt16BE(isIpv6 ? ETHERTYPE.ipv6 : ETHERTYPE.ipv4, ETHERTYPE.at);
    frame.writeUInt32LE(ask, ETHERNET_HEADER + REQUEST.ask);
    frame.writeUInt32LE(this.firstInterface, ETHERNET_HEADER + REQUEST.ifindex);
    program.control.testRun({ data: frame });
    key.writeUInt32LE(0);
    program.map('replies').lookup(key, reply);
    return {
      answer: reply.readUInt32LE(REPLY.answer),
      slot: reply.readUInt32LE(REPLY.slot),
      generation: reply.readUInt32LE(REPLY.generation),
      state: reply.readUInt32LE(REPLY.state),
      due: reply.readUInt32LE(REPLY.due),
    };
  }

  private get loaded(): KernelProgram {
    if (!this.program) throw new SutureError('SUT_SHUTTING_DOWN', 'the kernel data path is stopped');
    return this.program;
  }

  private known(id: string): Known {
    const known = this.store.get(id);
    if (!known) throw new SutureError('SUT_FLOW_UNKNOWN', `no flow has the id ${id}`);
    return known;
  }

  private read(slot: number): RecordView {
    this.key.writeUInt32LE(slot);
    this.program?.map('flows').lookup(this.key, this.record.bytes, ElementFlag.Lock);
    return this.record;
  }

  private snapshot(known: Known): FlowSnapshot {
    return this.read(known.slot).snapshot(this.epochOffset);
  }

  // ---- events

  /** Tells what has happened by now, before the answer to a request does. */
  private consume(): void {
    this.ring?.consume();
  }

  private take(bytes: Buffer): void {
    const told = readEvent(bytes, this.epochOffset);
    if (!told) return;
    const known = this.store.at(told.slot, told.generation);
    const event = known ? this.withSaved(told.event, known) : told.event;
    for (const listener of this.listeners) listener(event);
    if (known && event.kind === 'state') this.follow(known, event.flow);
    if (known && event.held) this.tickLater(known, this.engine.teardownLimit);
  }

  private withSaved(event: FlowEvent, { slot, generation }: Known): FlowEvent {
    if (!isRestorable(event.flow.state)) return event;
    const record = this.read(slot);
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
    if (this.stopped.signal.aborted) return;
    this.askAbout(known, Ask.Forget);
    this.store.forget(known);
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
      for (const known of moving) this.askAbout(known, Ask.Tick);
      const now = clock.kernel();
      for (const [known, at] of holding) if (at <= now) this.askHeld(known, Ask.Tick);
      this.consume();
    }
    this.ticking = false;
  }

  // ---- forgetting, and what was missed

  private async sweep(): Promise<void> {
    const now = this.options.clock.kernel();
    for (const known of this.store.due(now)) this.forget(known);
    await this.lookForLostEvents();
    const most = Math.ceil(this.options.maxFlows / SWEEPS_PER_ROUND);
    for (let i = 0; i < most; i++) {
      this.lookAt(this.sweepAt, now);
      this.sweepAt = (this.sweepAt + 1) % this.options.maxFlows;
    }
  }

  /** A full ring buffer loses events, never states: then each flow is looked at. */
  private async lookForLostEvents(): Promise<void> {
    const { eventsLost = 0 } = await this.counters();
    if (eventsLost === this.eventsLost) return;
    this.eventsLost = eventsLost;
    this.options.log.warn({ eventsLost }, 'the event buffer was full; flows are compared one by one');
    for (const known of [...this.store.all()]) {
      if (this.store.lingers(known)) continue;
      const flow = this.snapshot(known);
      for (const listener of this.listeners) listener({ kind: 'state', flow });
      this.follow(known, flow);
      if (this.read(known.slot).holds) this.tickLater(known, 0);
    }
  }

  /** One record: is it a connection that nobody needs any more? Times as in RFC 5382 REQ-5. */
  private lookAt(slot: number, now: number): void {
    const record = this.read(slot);
    if (!record.used) return;
    // Signed: a packet may have passed since `now` was taken.
    const quiet = (Math.floor(now) - record.lastAt) | 0;
    const { generation, paired, state } = record;
    const { idle, halfOpen, lingerClosed } = this.engine;
    if (!paired) {
      if (quiet >= (record.established(0) ? idle : halfOpen))
        this.askAbout({ id: '', slot, generation, isIpv6: false }, Ask.Forget);
      return;
    }
    const known = this.store.at(slot, generation);
    if (!known || state === 'closed' || state === 'broken') return;
    const bothEnded = record.finSeen(0) && record.finSeen(1);
    const limit = state === 'watched' ? halfOpen : bothEnded ? lingerClosed : idle;
    if (quiet < limit) return;
    this.askAbout(known, Ask.Idle);
  }

  /** Takes over the flows that a former process left in the kernel. */
  private adopt(): void {
    for (let slot = 0; slot < this.options.maxFlows; slot++) {
      const record = this.read(slot);
      if (!record.used || !record.paired) continue;
      const isIpv6 = record.endpoints(0).local.address.includes(':');
      const known = { id: record.id, slot, generation: record.generation, isIpv6 };
      this.store.add(known);
      const flow = record.snapshot(this.epochOffset);
      const { holds } = record;
      if (flow.state !== 'watched' && flow.state !== 'relayed') this.follow(known, flow);
      if (holds) this.tickLater(known, 0);
    }
  }
}

function conflict(which: string, { local, remote }: ConnectionEndpoints): SutureError {
  const ends = `${remote.address} port ${remote.port} to ${local.address} port ${local.port}`;
  return new SutureError('SUT_CONFLICT', `the ${which} connection (${ends}) belongs to another flow`);
}

async function interfacesOf(names: readonly string[]): Promise<KernelInterface[]> {
  const { stdout } = await run('ip', ['-j', 'link', 'show']);
  const links = JSON.parse(stdout) as { ifname: string; ifindex: number; flags: string[] }[];
  return names.map((name) => {
    const link = links.find(({ ifname }) => ifname === name);
    if (link?.flags.includes('UP')) return { name, index: link.ifindex };
    throw new SutureError(
      'SUT_INTERFACE_UNKNOWN',
      `interface ${name} is ${link ? 'down' : 'not'} in this network namespace; name under \`interfaces\` one that \`ip link\` shows up`,
    );
  });
}
