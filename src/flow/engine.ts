/**
 * The flow engine: (tuple, segment, now) → verdict and segments to send. Pure: no I/O, no clock, no packet
 * bytes. Both data paths follow it, and a simulation runs it without a network.
 *
 * This file holds the connections and flows: who owns a packet, who belongs to whom, and when one is forgotten.
 * The packet's way goes on in `stepper.ts`. `receive` never throws and allocates nothing for a packet of a known
 * connection.
 */

import { tupleOf } from '../wire/endpoint.js';
import { TcpFlag, type TcpSegment } from '../wire/segment.js';
import { type SeqNum, seqDiff } from '../wire/seq.js';
import type { Tuple } from '../wire/tuple.js';
import { type Following, ShellAddresses } from './carry.js';
import { Connection } from './connection.js';
import { ConnectionIndex, type Entry } from './connection-index.js';
import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from './endpoints.js';
import { FlowRequestError } from './errors.js';
import { Flow, Mode } from './flow.js';
import { findIcmpTarget, type IcmpTarget, pathMss } from './icmp.js';
import { DEFAULT_ENGINE_OPTIONS, type EngineListener, type EngineOptions } from './options.js';
import { Outbox } from './outbox.js';
import { Ownership } from './ownership.js';
import { type FlowKeeper, FlowProgress } from './progress.js';
import { type Past, restoredFlow, type SavedFlow, unlearn } from './restore.js';
import type { TeardownMode } from './state.js';
import { FlowStepper, Verdict } from './stepper.js';

export { type EngineListener, type EngineOptions, Verdict };

const LINGER_SWEEP = 1000;
const IDLE_SWEEP = 10_000;

export class FlowEngine implements FlowKeeper {
  private readonly out = new Outbox();
  private readonly stepper: FlowStepper;
  private readonly progress: FlowProgress;
  private untracked = 0;
  private limitReached = 0;
  private readonly options: EngineOptions;
  private readonly index = new ConnectionIndex();
  private readonly ownership = new Ownership();
  private readonly flowsById = new Map<string, Flow>();
  /** Closed flows in the order in which they are to be forgotten, one queue for each time. */
  private readonly lingering: Record<'fin' | 'reset', Flow[]> = { fin: [], reset: [] };
  private unpaired = 0;
  private nextLingerSweep = 0;
  private nextIdleSweep = 0;
  private following: Following | undefined;
  private shells = new ShellAddresses([]);
  /** What passed before then, at the others, this switch does not know. */
  private leadsSince = Number.NEGATIVE_INFINITY;

  constructor(options: Partial<EngineOptions> = {}, onEvent: EngineListener = () => {}) {
    this.options = { ...DEFAULT_ENGINE_OPTIONS, ...options };
    this.progress = new FlowProgress(this.options, onEvent, this, this.out);
    this.stepper = new FlowStepper(this.options, this.progress, this.out);
  }

  /** What the last call sends; valid until the next one. */
  get outbox(): Outbox {
    return this.out;
  }

  /** After `Verdict.Pass`: the receiver's MSS, or 0 where it isn't known. */
  get passMss(): number {
    return this.stepper.passMss;
  }

  /** Packets, by what became of them. */
  get counters(): Readonly<Record<'untracked' | 'swallowed' | 'limitReached', number>> {
    const { untracked, limitReached } = this;
    return { untracked, swallowed: this.stepper.swallowed, limitReached };
  }

  /** True while a handover is under way, and `tick` should be called every few milliseconds. */
  get busy(): boolean {
    return this.progress.busy;
  }

  get connections(): number {
    return this.index.size;
  }

  own(ports: OwnedPorts): void {
    this.ownership.add(ports);
  }

  /** True when nobody asks for these ports any more. */
  disown(ports: OwnedPorts): boolean {
    return this.ownership.remove(ports);
  }

  flow(id: string): Flow | undefined {
    return this.flowsById.get(id);
  }

  flows(): IterableIterator<Flow> {
    return this.flowsById.values();
  }

  receive(tuple: Tuple, segment: TcpSegment, now: number): Verdict {
    this.stepper.clear();
    const entry = this.index.find(tuple);
    if (this.following) return this.carry(this.following, entry, tuple, segment, now);
    if (entry === undefined) return this.receiveUnknown(tuple, segment, now);
    const x = entry.connection;
    if (entry.fromShell) return this.stepper.fromShell(x, segment, now);
    if (startsAnew(x, segment)) {
      if (x.flow) this.forget(x.flow);
      else this.unpairedEnded(x);
      return this.receiveUnknown(tuple, segment, now);
    }
    return this.stepper.fromFar(x, segment, now);
  }

  /** From now on another switch of the group leads, and this one carries beside it; or, without it, this one leads. */
  follow(following: Following | undefined, now: number): void {
    if (!following) this.leadsSince = now;
    const began = following !== undefined && this.following === undefined;
    this.following = following;
    this.shells = new ShellAddresses(following?.shells ?? []);
    if (began) for (const flow of this.flowsById.values()) unlearn(flow);
  }

  private carry(
    { knowsLeader }: Following,
    entry: Entry | undefined,
    tuple: Tuple,
    segment: TcpSegment,
    now: number,
  ): Verdict {
    const flow = entry?.connection.flow;
    if (entry && flow?.mode === Mode.Direct && flow.state !== 'closed')
      return this.stepper.carry(entry.connection, entry.fromShell, segment, now, knowsLeader);
    return knowsLeader && this.shells.concern(tuple) ? Verdict.Steer : Verdict.Host;
  }

  /** True for packets that the data path carries, known connection or not. */
  carries(tuple: Tuple): boolean {
    return this.ownership.ownsDestination(tuple) || this.ownership.ownsSource(tuple);
  }

  /** Whom an ICMP error is for that quotes a packet of `quoted`; false when it is for whom it is addressed to. */
  icmpTarget(quoted: Tuple, seq: SeqNum, target: IcmpTarget): boolean {
    const entry = this.index.find(quoted);
    return entry?.fromShell === true && findIcmpTarget(entry.connection, seq, target);
  }

  /**
   * A router can't pass on packets of `quoted` that are larger than `mtu` bytes. Whoever sent them is told as well; but
   * a super-frame does not show into what its sender would have cut it.
   */
  notePathMtu(quoted: Tuple, mtu: number): void {
    const entry = this.index.find(quoted);
    if (entry === undefined || mtu === 0) return;
    const receiver = entry.fromShell ? entry.connection.far : entry.connection.shell;
    receiver.pathMss = Math.min(receiver.pathMss, pathMss(mtu, quoted.isIpv4));
  }

  /** Does what is due. The outbox then holds what is to be sent. */
  tick(now: number): void {
    this.stepper.clear();
    // Copies neither move on nor end by themselves.
    if (this.following) return;
    this.progress.tick(now);
    if (now < this.nextLingerSweep) return;
    this.nextLingerSweep = now + LINGER_SWEEP;
    this.forgetLingering(now);
    if (now < this.nextIdleSweep) return;
    this.nextIdleSweep = now + IDLE_SWEEP;
    this.forgetIdle(now);
  }

  /**
   * Joins an outer connection with the inner one that the shell is about to open. An outer connection whose
   * handshake wasn't seen makes a refused flow: it is relayed as if there were no switch.
   */
  pair(id: string, outerEnds: ConnectionEndpoints, innerEnds: ConnectionEndpoints, now: number): Flow {
    if (this.flowsById.has(id)) throw new FlowRequestError('SUT_FLOW_EXISTS', `flow ${id} exists already`);
    const outerTuple = tupleOf(outerEnds.remote, outerEnds.local);
    const innerTuple = tupleOf(innerEnds.remote, innerEnds.local);
    const known = this.index.find(outerTuple)?.connection;
    if (known?.flow)
      throw new FlowRequestError('SUT_CONFLICT', `the outer connection belongs to flow ${known.flow.id}`);
    const former = this.index.find(innerTuple)?.connection;
    if (former?.flow && former.flow.state !== 'closed' && former.flow.state !== 'broken') {
      throw new FlowRequestError('SUT_CONFLICT', `the inner connection belongs to flow ${former.flow.id}`);
    }
    if (former?.flow) this.forget(former.flow);
    else if (former) this.unpairedEnded(former);

    const outer = known ?? new Connection('outer', outerTuple, outerTuple.reversed(), now);
    const inner = new Connection('inner', innerTuple, innerTuple.reversed(), now);
    const flow = new Flow(id, outer, inner);
    this.flowsById.set(id, flow);
    flow.history.push({ state: 'watched', at: now });
    if (known) this.unpaired--;
    else this.index.add(outer);
    this.index.add(inner);
    if (!known?.far.synSeen) this.progress.refuse(flow, 'handshake-not-seen', now);
    else if (outerTuple.isIpv4 !== innerTuple.isIpv4) this.progress.refuse(flow, 'family-differs', now);
    return flow;
  }

  /** Goes on with a stitched flow of another switch. An unpaired connection of the same tuple gives way. */
  restore(
    id: string,
    ends: { readonly outer: ConnectionEndpoints; readonly inner: ConnectionEndpoints },
    saved: SavedFlow,
    past: Past,
    now: number,
    teardown: TeardownMode = 'core',
  ): Flow {
    if (this.flowsById.has(id)) throw new FlowRequestError('SUT_FLOW_EXISTS', `flow ${id} exists already`);
    const outer = tupleOf(ends.outer.remote, ends.outer.local);
    const inner = tupleOf(ends.inner.remote, ends.inner.local);
    const known = [outer, inner].flatMap((tuple) => this.index.find(tuple)?.connection ?? []);
    const taken = known.find((x) => x.flow !== undefined)?.flow;
    if (taken)
      throw new FlowRequestError('SUT_CONFLICT', `a connection of ${id} belongs to flow ${taken.id}`);
    for (const x of known) this.unpairedEnded(x);
    const flow = restoredFlow(id, { outer, inner }, saved, past, teardown, now);
    this.flowsById.set(id, flow);
    this.index.add(flow.outer);
    this.index.add(flow.inner);
    this.progress.awaitClose(flow);
    return flow;
  }

  /** Lets go of a flow without a word to anyone: another switch carries it, or it has ended there. */
  drop(id: string): void {
    const flow = this.flowsById.get(id);
    if (flow) this.forget(flow);
  }

  /** Asks for the stitch; the outbox may hold segments afterwards. Asking again changes nothing. */
  enable(id: string, offsets: StitchOffsets, now: number, teardown: TeardownMode = 'core'): Flow {
    this.stepper.clear();
    const flow = this.known(id);
    if (flow.state === 'closing' || flow.state === 'closed' || flow.state === 'broken') {
      throw new FlowRequestError(
        'SUT_FLOW_STATE',
        `flow ${id} is ${flow.state}; only a flow that is open can be stitched`,
      );
    }
    if (flow.state === 'watched' || flow.state === 'relayed') flow.teardown = teardown;
    if (flow.state === 'watched') flow.wanted = offsets;
    else if (flow.state === 'relayed') this.progress.beginClamp(flow, offsets, now);
    return flow;
  }

  /** Lets a held FIN or RST of an end's go on to the other one. Where nothing is held, nothing changes. */
  proceed(id: string, from: 'peer' | 'core', now: number): Flow {
    this.stepper.clear();
    const flow = this.known(id);
    this.progress.proceed(from === 'peer' ? flow.outer : flow.inner, flow, now);
    return flow;
  }

  /** Stops watching a relayed flow; resets both ends of one that is cut or stitched. */
  close(id: string, now: number): Flow {
    this.stepper.clear();
    const flow = this.known(id);
    if (flow.state === 'closed' || flow.state === 'broken') return flow;
    this.progress.release(flow, now);
    return flow;
  }

  // ---- packets of no known connection

  private receiveUnknown(tuple: Tuple, segment: TcpSegment, now: number): Verdict {
    const toShell = this.ownership.ownsDestination(tuple);
    if (!toShell && !this.ownership.ownsSource(tuple)) return Verdict.Host;
    if (toShell && segment.has(TcpFlag.Syn) && !segment.has(TcpFlag.Ack)) {
      if (this.unpaired < this.options.maxUnpaired) {
        const outer = new Connection('outer', tuple.clone(), tuple.reversed(), now);
        this.index.add(outer);
        this.unpaired++;
        return this.stepper.relaySyn(outer, segment, false, now);
      }
      this.limitReached++;
    }
    this.untracked++;
    return Verdict.Pass;
  }

  // ---- forgetting

  unpairedEnded(x: Connection): void {
    this.index.remove(x);
    this.unpaired--;
  }

  /** A relayed flow is forgotten at once; late packets of one that was cut are still translated for a while. */
  flowEnded(flow: Flow, now: number): void {
    if (flow.mode <= Mode.Clamp) {
      this.forget(flow);
      return;
    }
    const kind = flow.reason === 'fin' ? 'fin' : 'reset';
    flow.deadline = now + (kind === 'fin' ? this.options.lingerClosed : this.options.lingerReset);
    this.lingering[kind].push(flow);
  }

  private forgetLingering(now: number): void {
    for (const queue of [this.lingering.fin, this.lingering.reset]) {
      let due = 0;
      while (due < queue.length && (queue[due] as Flow).deadline <= now) due++;
      for (const flow of queue.splice(0, due)) this.forget(flow);
    }
  }

  private forgetIdle(now: number): void {
    const { idle, halfOpen } = this.options;
    for (const x of this.index.connections()) {
      const quiet = now - Math.max(x.lastPacketAt, this.leadsSince);
      if (x.flow === undefined) {
        if (quiet >= (x.established ? idle : halfOpen)) this.unpairedEnded(x);
      } else {
        const limit = this.quietLimit(x.flow);
        if (quiet < limit || now - x.other.lastPacketAt < limit) continue;
        this.progress.end(x.flow, 'idle', bothEnded(x.flow) ? 'fin' : 'idle', now);
        this.forget(x.flow);
      }
    }
  }

  /** How long a flow may be quiet before it is given up, ms (RFC 5382 REQ-5 for the last two). */
  private quietLimit(flow: Flow): number {
    if (flow.state === 'watched') return this.options.halfOpen;
    return bothEnded(flow) ? this.options.lingerClosed : this.options.idle;
  }

  private forget(flow: Flow): void {
    if (this.flowsById.get(flow.id) !== flow) return;
    this.flowsById.delete(flow.id);
    this.index.remove(flow.outer);
    this.index.remove(flow.inner);
  }

  private known(id: string): Flow {
    const flow = this.flowsById.get(id);
    if (flow === undefined) throw new FlowRequestError('SUT_FLOW_UNKNOWN', `no flow has the id ${id}`);
    return flow;
  }
}

/**
 * A SYN on the tuple of a flow that is over: a new connection, if it can't be an old packet (RFC 6191
 * section 2: a later timestamp, or without timestamps a later sequence number). On an unpaired one, that both ends
 * may have lost without a word, any other SYN: at the worst the one that goes on is not stitched, whereas a flow with
 * the former one's numbers would be translated to wrong ones.
 */
function startsAnew(x: Connection, segment: TcpSegment): boolean {
  if (!segment.has(TcpFlag.Syn) || segment.has(TcpFlag.Ack) || x.side !== 'outer') return false;
  const { flow } = x;
  if (flow === undefined) return x.established && segment.seq !== x.far.isn;
  if (flow.state === 'broken') return true;
  if (flow.state !== 'closed') return false;
  if (flow.reason !== 'fin') return true;
  if (x.timestamps && segment.tsval !== 0) return ((segment.tsval - x.far.tsval) | 0) > 0;
  return seqDiff(segment.seq, x.far.max) > 0;
}

/** Both ends have sent a FIN; whatever is missing was lost for good, if nobody says anything more. */
function bothEnded({ outer, inner }: Flow): boolean {
  return outer.far.finSeen && inner.far.finSeen;
}
