/**
 * The flow engine: (tuple, segment, now) → verdict and segments to send. Pure: no I/O, no clock, no packet
 * bytes. Both data paths follow it, and a simulation runs it without a network.
 *
 * The packet's way: `receive` finds the connection, takes note of the segment (`connection.ts`) and hands it
 * to the rules of the flow's mode: `relay*` below, `clamp.ts`, `drain.ts`, `translate.ts`. After each, the
 * `after*` functions see whether the flow moves on. `receive` never throws and, once its outbox has grown to
 * size, allocates nothing for a packet of a known connection.
 */

import { tupleOf } from '../wire/endpoint.js';
import { TcpFlag, type TcpSegment } from '../wire/segment.js';
import { type SeqNum, seqDiff } from '../wire/seq.js';
import type { Tuple } from '../wire/tuple.js';
import { alignFirst, alignSecond, refusalOf } from './align.js';
import { announceGrowth, clampWindow, pipelinesEmpty, readyToCut } from './clamp.js';
import { Connection } from './connection.js';
import { ConnectionIndex } from './connection-index.js';
import {
  drained,
  drainFromFar,
  drainFromShell,
  makeCut,
  repeatAck,
  setTimestampDelta,
  settleTimestampDelta,
  shellEnd,
} from './drain.js';
import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from './endpoints.js';
import { FlowRequestError } from './errors.js';
import { Flow, Mode } from './flow.js';
import { findIcmpTarget, type IcmpTarget } from './icmp.js';
import { type FlowMachineEvent, nextState } from './machine.js';
import {
  emitBareAck,
  emitReset,
  farAck,
  farEdge,
  liftBareAck,
  offsetsPossible,
  setDeltas,
} from './mapping.js';
import { Outbox } from './outbox.js';
import { Ownership } from './ownership.js';
import type { FlowReason, RefusalReason } from './state.js';
import {
  directlyFinished,
  endingOf,
  resetCounts,
  resetFar,
  resetOther,
  shellResetCounts,
} from './teardown.js';
import { translate } from './translate.js';

/** What to do with the packet that was received. */
export const Verdict = {
  /** None of ours: the host forwards it by itself. */
  Host: 0,
  /** Ours, and to be sent on byte for byte (TTL aside). */
  Pass: 1,
  /** Ours: send what the outbox holds, which may be nothing, and nothing else. */
  Emit: 2,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** All times in milliseconds. */
export interface EngineOptions {
  /** The cut is made this long after the request at the latest, windows or not. */
  readonly clampDeadline: number;
  /** A drain that takes longer breaks the flow. */
  readonly drainLimit: number;
  /** A flow that ended with FINs is translated for this long after. */
  readonly lingerClosed: number;
  /** … and one that ended with a reset for this long. */
  readonly lingerReset: number;
  /** RFC 5382 REQ-5: at least 2 h 4 min. */
  readonly idle: number;
  /** A handshake that is not complete by then is forgotten. */
  readonly halfOpen: number;
  /** Most bytes on their way from one end to the other while a flow is clamped. */
  readonly clampCap: number;
  /** Most connections that belong to no flow (yet). */
  readonly maxUnpaired: number;
}

export const DEFAULT_ENGINE_OPTIONS: EngineOptions = {
  clampDeadline: 200,
  drainLimit: 30_000,
  lingerClosed: 240_000,
  lingerReset: 60_000,
  idle: 7_440_000,
  halfOpen: 60_000,
  clampCap: 1 << 20,
  maxUnpaired: 65_536,
};

export type EngineListener = (
  flow: Flow,
  kind: 'state' | 'fin' | 'rst',
  from: 'peer' | 'core' | undefined,
) => void;

const LINGER_SWEEP = 1000;
const IDLE_SWEEP = 10_000;

export class FlowEngine {
  readonly outbox = new Outbox();
  /** After `Verdict.Pass`: the receiver's MSS, or 0 where it isn't known. */
  passMss = 0;
  /** Packets, by what became of them. */
  readonly counters = { untracked: 0, swallowed: 0, limitReached: 0 };
  private readonly options: EngineOptions;
  private readonly index = new ConnectionIndex();
  private readonly ownership = new Ownership();
  private readonly flowsById = new Map<string, Flow>();
  /** Flows that are clamped or drain. */
  private readonly moving = new Set<Flow>();
  /** Closed flows in the order in which they are to be forgotten, one queue for each time. */
  private readonly lingering: Record<'fin' | 'reset', Flow[]> = { fin: [], reset: [] };
  private unpaired = 0;
  private nextLingerSweep = 0;
  private nextIdleSweep = 0;

  constructor(
    options: Partial<EngineOptions> = {},
    private readonly onEvent: EngineListener = () => {},
  ) {
    this.options = { ...DEFAULT_ENGINE_OPTIONS, ...options };
  }

  /** True while `tick` should be called every millisecond. */
  get busy(): boolean {
    return this.moving.size > 0;
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
    this.outbox.clear();
    this.passMss = 0;
    const entry = this.index.find(tuple);
    if (entry === undefined) return this.receiveUnknown(tuple, segment, now);
    const x = entry.connection;
    return entry.fromShell ? this.fromShell(x, segment, now) : this.fromFar(x, segment, now);
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

  /** Does what is due. The outbox then holds what is to be sent. */
  tick(now: number): void {
    this.outbox.clear();
    for (const flow of this.moving) {
      if (flow.mode === Mode.Clamp) this.afterClamp(flow, now);
      else if (now >= flow.deadline) this.breakFlow(flow, 'drain-timeout', now);
    }
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
    if (former?.flow && former.flow.state !== 'closed') {
      throw new FlowRequestError('SUT_CONFLICT', `the inner connection belongs to flow ${former.flow.id}`);
    }
    if (former?.flow) this.forget(former.flow);
    else if (former) this.dropUnpaired(former);

    const outer = known ?? new Connection('outer', outerTuple, outerTuple.reversed(), now);
    const inner = new Connection('inner', innerTuple, innerTuple.reversed(), now);
    const flow = new Flow(id, outer, inner);
    this.flowsById.set(id, flow);
    flow.history.push({ state: 'watched', at: now });
    if (known) this.unpaired--;
    else this.index.add(outer);
    this.index.add(inner);
    if (!known?.far.synSeen) this.refuse(flow, 'handshake-not-seen', now);
    else if (outerTuple.isIpv4 !== innerTuple.isIpv4) this.refuse(flow, 'family-differs', now);
    return flow;
  }

  /** Asks for the stitch; the outbox may hold segments afterwards. Asking again changes nothing. */
  enable(id: string, offsets: StitchOffsets, now: number): Flow {
    this.outbox.clear();
    const flow = this.known(id);
    if (flow.state === 'closing' || flow.state === 'closed' || flow.state === 'broken') {
      throw new FlowRequestError(
        'SUT_FLOW_STATE',
        `flow ${id} is ${flow.state}; only a flow that is open can be stitched`,
      );
    }
    if (flow.state === 'watched') flow.wanted = offsets;
    else if (flow.state === 'relayed') this.beginClamp(flow, offsets, now);
    return flow;
  }

  /** Stops watching a relayed flow; resets both ends of one that is cut or stitched. */
  close(id: string, now: number): Flow {
    this.outbox.clear();
    const flow = this.known(id);
    if (flow.state === 'closed' || flow.state === 'broken') return flow;
    const direct = flow.mode === Mode.Drain || flow.mode === Mode.Direct;
    if (direct) {
      resetFar(flow.outer, this.outbox);
      resetFar(flow.inner, this.outbox);
      flow.mode = Mode.Dead;
    }
    this.end(flow, 'release', !direct && flow.state === 'closing' ? endingOf(flow) : 'released', now);
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
        return this.relaySyn(outer, segment, false, now);
      }
      this.counters.limitReached++;
    }
    this.counters.untracked++;
    return Verdict.Pass;
  }

  // ---- packets of the far ends

  private fromFar(x: Connection, segment: TcpSegment, now: number): Verdict {
    const { flow } = x;
    const mode = flow === undefined ? Mode.Relay : flow.mode;
    if (segment.has(TcpFlag.Syn)) {
      if (flow !== undefined && this.startsAnew(x, flow, segment)) {
        this.forget(flow);
        return this.receiveUnknown(x.toShell, segment, now);
      }
      if (mode <= Mode.Clamp) return this.relaySyn(x, segment, false, now);
    } else {
      x.trackFar(segment, now);
    }
    if (flow === undefined || mode === Mode.Relay) return this.relayFromFar(x, segment, now);
    if (mode === Mode.Clamp) return this.clampFromFar(x, flow, segment, now);
    if (mode === Mode.Drain) return this.drainFar(x, flow, segment, now);
    if (mode === Mode.Direct) return this.directFromFar(x, flow, segment, now);
    if (segment.has(TcpFlag.Ack) && !segment.has(TcpFlag.Rst)) emitReset(x, segment.ack, this.outbox);
    return Verdict.Emit;
  }

  /** A SYN or SYN-ACK on its way by the shell: aligned and noted. */
  private relaySyn(x: Connection, segment: TcpSegment, fromShell: boolean, now: number): Verdict {
    const changed = this.align(x, segment, fromShell);
    x.noteSyn(segment, fromShell);
    if (fromShell) x.trackShell(segment, now);
    else x.trackFar(segment, now);
    this.noteTold(x, segment, fromShell);
    if (!changed) return this.pass(x, fromShell);
    this.forward(x, segment, fromShell);
    return Verdict.Emit;
  }

  private align(x: Connection, segment: TcpSegment, fromShell: boolean): boolean {
    const second = x.side === 'inner' && fromShell && !segment.has(TcpFlag.Ack);
    // Of an outer connection whose handshake wasn't seen there is nothing to align with.
    if (second && x.other.far.synSeen && x.other.shell.synSeen) return alignSecond(segment, x.other);
    return alignFirst(segment);
  }

  private relayFromFar(x: Connection, segment: TcpSegment, now: number): Verdict {
    if (segment.has(TcpFlag.Rst) && resetCounts(x, segment)) x.resetBy ??= 'far';
    x.noteToldShell(segment);
    this.afterRelay(x, segment, now);
    return this.pass(x, false);
  }

  private clampFromFar(x: Connection, flow: Flow, segment: TcpSegment, now: number): Verdict {
    if (this.endsBeforeCut(flow, segment, resetCounts(x, segment), now))
      return this.relayFromFar(x, segment, now);
    liftBareAck(x, this.forward(x, segment, false), x.shell.edge);
    x.noteToldShell(segment);
    announceGrowth(x.other, this.options.clampCap, this.outbox);
    this.afterClamp(flow, now);
    return Verdict.Emit;
  }

  private drainFar(x: Connection, flow: Flow, segment: TcpSegment, now: number): Verdict {
    if (segment.has(TcpFlag.Rst)) {
      if (resetCounts(x, segment)) {
        resetOther(x, this.outbox);
        flow.mode = Mode.Direct;
        this.endByReset(x, flow, now);
      } else {
        translate(x, segment, this.outbox);
      }
      return Verdict.Emit;
    }
    drainFromFar(x, segment, this.outbox);
    if (segment.has(TcpFlag.Fin)) this.reportFin(x, flow);
    this.afterDrain(flow, now);
    return Verdict.Emit;
  }

  private directFromFar(x: Connection, flow: Flow, segment: TcpSegment, now: number): Verdict {
    translate(x, segment, this.outbox);
    this.noteToShell(flow);
    if (flow.state === 'closed') return Verdict.Emit;
    if (segment.has(TcpFlag.Rst)) {
      if (resetCounts(x, segment)) this.endByReset(x, flow, now);
    } else if (segment.has(TcpFlag.Fin)) {
      this.reportFin(x, flow);
      this.move(flow, 'fin', undefined, now);
    }
    if (flow.state === 'closing' && directlyFinished(flow)) this.end(flow, 'finished', 'fin', now);
    return Verdict.Emit;
  }

  /** Counts what a stitched flow sends to the shell: nothing, and this is what shows it. */
  private noteToShell(flow: Flow): void {
    const { outbox } = this;
    for (let i = 0; i < outbox.count; i++) {
      const { tuple, payloadStart, payloadEnd } = outbox.at(i);
      if (tuple !== flow.outer.toShell && tuple !== flow.inner.toShell) continue;
      flow.toShellPackets++;
      flow.toShellBytes += payloadEnd - payloadStart;
    }
  }

  // ---- packets of the shell

  private fromShell(x: Connection, segment: TcpSegment, now: number): Verdict {
    const { flow } = x;
    const mode = flow === undefined ? Mode.Relay : flow.mode;
    if (mode >= Mode.Direct) {
      this.counters.swallowed++;
      return Verdict.Emit;
    }
    if (mode === Mode.Drain) return this.drainShell(x, flow as Flow, segment, now);
    if (segment.has(TcpFlag.Syn)) return this.relaySyn(x, segment, true, now);
    x.trackShell(segment, now);
    if (
      mode === Mode.Clamp &&
      !this.endsBeforeCut(flow as Flow, segment, shellResetCounts(x, segment), now)
    ) {
      const sent = this.forward(x, segment, true);
      clampWindow(x, sent, this.options.clampCap);
      x.noteToldFar(sent);
      this.afterClamp(flow as Flow, now);
      return Verdict.Emit;
    }
    if (segment.has(TcpFlag.Rst) && shellResetCounts(x, segment)) x.resetBy ??= 'shell';
    x.noteToldFar(segment);
    this.afterRelay(x, segment, now);
    return this.pass(x, true);
  }

  private drainShell(x: Connection, flow: Flow, segment: TcpSegment, now: number): Verdict {
    // The shell may end its connection once all that it holds is on the wire; before that, bytes are lost.
    const unfinished = seqDiff(shellEnd(x), x.shell.max) > 0 && seqDiff(shellEnd(x), segment.end) >= 0;
    if (segment.has(TcpFlag.Rst) || (segment.has(TcpFlag.Fin) && unfinished)) {
      this.breakFlow(flow, 'shell-lost', now);
      return Verdict.Emit;
    }
    // Its FIN goes no further, so it must not count as sent: what X is told may not lie beyond what X is sent.
    segment.flags &= ~TcpFlag.Fin;
    x.trackShell(segment, now);
    drainFromShell(x, segment, this.outbox);
    this.afterDrain(flow, now);
    return Verdict.Emit;
  }

  // ---- what a packet leads to

  private afterRelay(x: Connection, segment: TcpSegment, now: number): void {
    const { flow } = x;
    if (flow === undefined) {
      if (x.finished) this.dropUnpaired(x);
      return;
    }
    if (flow.state === 'watched' && flow.outer.established && flow.inner.established)
      this.establish(flow, now);
    if (segment.has(TcpFlag.Fin)) {
      this.move(flow, 'fin', undefined, now);
    }
    if (flow.outer.finished && flow.inner.finished) {
      const reason = endingOf(flow);
      this.end(flow, reason === 'fin' ? 'finished' : 'reset', reason, now);
    }
  }

  private establish(flow: Flow, now: number): void {
    const refusal = refusalOf(flow.outer, flow.inner);
    if (refusal) {
      this.refuse(flow, refusal, now);
      return;
    }
    this.move(flow, 'establish', undefined, now);
    const { wanted } = flow;
    flow.wanted = undefined;
    if (wanted) this.beginClamp(flow, wanted, now);
  }

  private beginClamp(flow: Flow, offsets: StitchOffsets, now: number): void {
    const { outer, inner } = flow;
    const { consumedFromPeer, injectedToCore, consumedFromCore, injectedToPeer } = offsets;
    if (
      !offsetsPossible(outer, inner, consumedFromPeer, injectedToCore) ||
      !offsetsPossible(inner, outer, consumedFromCore, injectedToPeer)
    ) {
      this.refuse(flow, 'offsets-impossible', now);
      return;
    }
    if (isEnding(outer) || isEnding(inner)) {
      this.refuse(flow, 'closing-before-cut', now);
      return;
    }
    setDeltas(outer, inner, offsets);
    flow.mode = Mode.Clamp;
    flow.deadline = now + this.options.clampDeadline;
    this.moving.add(flow);
    this.move(flow, 'enable', undefined, now);
    this.afterClamp(flow, now);
  }

  /** A FIN, or a RST that counts, while the flow is clamped: it is about to end, so it stays with the shell. */
  private endsBeforeCut(flow: Flow, segment: TcpSegment, resetCounts: boolean, now: number): boolean {
    const ends = segment.has(TcpFlag.Rst) ? resetCounts : segment.has(TcpFlag.Fin);
    if (ends) this.refuse(flow, 'closing-before-cut', now);
    return ends;
  }

  private afterClamp(flow: Flow, now: number): void {
    const { outer, inner } = flow;
    if (pipelinesEmpty(outer, inner)) {
      for (const x of [outer, inner]) setTimestampDelta(x, now);
      this.stitch(flow, 'empty', now);
      return;
    }
    if (now < flow.deadline && !readyToCut(outer, inner)) return;
    for (const x of [outer, inner]) {
      makeCut(x);
      setTimestampDelta(x, now);
    }
    flow.mode = Mode.Drain;
    flow.deadline = now + this.options.drainLimit;
    this.move(flow, 'cut', undefined, now);
    this.afterDrain(flow, now);
  }

  private afterDrain(flow: Flow, now: number): void {
    if (!drained(flow.outer) || !drained(flow.inner)) return;
    // From here nobody but the far end acks: each end learns where it stands, whatever it missed.
    repeatAck(flow.outer, this.outbox);
    repeatAck(flow.inner, this.outbox);
    this.stitch(flow, 'drained', now);
  }

  private stitch(flow: Flow, event: 'empty' | 'drained', now: number): void {
    const { outer, inner } = flow;
    for (const x of [outer, inner]) {
      settleTimestampDelta(x, event === 'drained');
      const stuck = seqDiff(x.toldMax, x.far.max) < x.shell.mss;
      if (event === 'empty' && stuck) emitBareAck(x, farAck(x), farEdge(x), this.outbox);
    }
    flow.mode = Mode.Direct;
    flow.deadline = 0;
    this.moving.delete(flow);
    this.move(flow, event, undefined, now);
    if (outer.far.finSeen || inner.far.finSeen) this.move(flow, 'fin', undefined, now);
    if (directlyFinished(flow)) this.end(flow, 'finished', 'fin', now);
  }

  private refuse(flow: Flow, reason: RefusalReason, now: number): void {
    flow.mode = Mode.Relay;
    flow.wanted = undefined;
    this.moving.delete(flow);
    this.move(flow, 'refuse', reason, now);
  }

  private breakFlow(flow: Flow, reason: 'shell-lost' | 'drain-timeout', now: number): void {
    resetFar(flow.outer, this.outbox);
    resetFar(flow.inner, this.outbox);
    flow.mode = Mode.Dead;
    this.end(flow, 'break', reason, now);
  }

  private endByReset(x: Connection, flow: Flow, now: number): void {
    const from = x.side === 'outer' ? 'peer' : 'core';
    x.resetBy = 'far';
    this.onEvent(flow, 'rst', from);
    this.end(flow, 'reset', `reset-by-${from}`, now);
  }

  private reportFin(x: Connection, flow: Flow): void {
    if (x.finReported) return;
    x.finReported = true;
    this.onEvent(flow, 'fin', x.side === 'outer' ? 'peer' : 'core');
  }

  private end(flow: Flow, event: FlowMachineEvent, reason: FlowReason, now: number): void {
    this.moving.delete(flow);
    this.move(flow, event, reason, now);
    if (flow.mode <= Mode.Clamp) {
      this.forget(flow);
      return;
    }
    const kind = reason === 'fin' ? 'fin' : 'reset';
    flow.deadline = now + (kind === 'fin' ? this.options.lingerClosed : this.options.lingerReset);
    this.lingering[kind].push(flow);
  }

  private move(flow: Flow, event: FlowMachineEvent, reason: FlowReason | undefined, now: number): void {
    const state = nextState(flow.state, event);
    if (state === undefined) return;
    flow.state = state;
    if (reason) flow.reason = reason;
    flow.history.push({ state, at: now });
    this.onEvent(flow, 'state', undefined);
  }

  // ---- sending on

  private pass(x: Connection, fromShell: boolean): Verdict {
    this.passMss = fromShell ? x.far.mss : x.shell.mss;
    return Verdict.Pass;
  }

  /** The received segment as it is, to be edited further; returns the segment that will be sent. */
  private forward(x: Connection, segment: TcpSegment, fromShell: boolean): TcpSegment {
    const emission = this.outbox.add();
    emission.tuple = fromShell ? x.toFar : x.toShell;
    emission.payloadStart = 0;
    emission.payloadEnd = segment.payloadLength;
    emission.made = false;
    emission.mss = fromShell ? x.far.mss : x.shell.mss;
    return emission.segment.copyFrom(segment);
  }

  private noteTold(x: Connection, segment: TcpSegment, fromShell: boolean): void {
    if (fromShell) x.noteToldFar(segment);
    else x.noteToldShell(segment);
  }

  // ---- forgetting

  /**
   * A SYN on the tuple of a flow that is over: a new connection, if it can't be an old packet (RFC 6191
   * section 2: a later timestamp, or without timestamps a later sequence number).
   */
  private startsAnew(x: Connection, flow: Flow, segment: TcpSegment): boolean {
    if (segment.has(TcpFlag.Ack) || x.side !== 'outer') return false;
    if (flow.state === 'broken') return true;
    if (flow.state !== 'closed') return false;
    if (flow.reason !== 'fin') return true;
    if (x.timestamps && segment.tsval !== 0) return ((segment.tsval - x.far.tsval) | 0) > 0;
    return seqDiff(segment.seq, x.far.max) > 0;
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
      const quiet = now - x.lastPacketAt;
      if (x.flow === undefined) {
        if (quiet >= (x.established ? idle : halfOpen)) this.dropUnpaired(x);
      } else {
        const limit = x.flow.state === 'watched' ? halfOpen : idle;
        if (quiet < limit || now - x.other.lastPacketAt < limit) continue;
        this.end(x.flow, 'idle', 'idle', now);
        this.forget(x.flow);
      }
    }
  }

  private dropUnpaired(x: Connection): void {
    this.index.remove(x);
    this.unpaired--;
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

/** A FIN or a RST that counts has passed by way of the shell. */
function isEnding({ far, shell, resetBy }: Connection): boolean {
  return far.finSeen || shell.finSeen || resetBy !== undefined;
}
