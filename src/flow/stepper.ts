/**
 * Carries a packet of a known connection through the rules of its flow's mode, and moves the flow on: `relay*`
 * below, `clamp.ts`, `drain.ts`, `translate.ts`. After each, the `after*` functions see whether the flow goes
 * over to its next state. Nothing here throws or, once the outbox has grown to size, allocates for a packet.
 */
import { TcpFlag, type TcpSegment } from '../wire/segment.js';
import { seqDiff } from '../wire/seq.js';
import { alignFirst, alignSecond, refusalOf } from './align.js';
import { isBelievable } from './belief.js';
import { isLeaders } from './carry.js';
import { announceGrowth, clampWindow, pipelinesEmpty, readyToCut } from './clamp.js';
import type { Connection } from './connection.js';
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
import type { StitchOffsets } from './endpoints.js';
import { type Flow, Mode } from './flow.js';
import { Holding } from './holding.js';
import { type FlowMachineEvent, nextState } from './machine.js';
import {
  emitBareAck,
  emitReset,
  farAck,
  farEdge,
  liftBareAck,
  noteSentDirectly,
  offsetsPossible,
  setDeltas,
} from './mapping.js';
import type { EngineListener, EngineOptions } from './options.js';
import { Outbox } from './outbox.js';
import { relearn } from './restore.js';
import { askWhereItStands, hasLeftUnseen, learnFromAck, learnFromReset, quietAt } from './share.js';
import type { BrokenReason, FlowReason, RefusalReason } from './state.js';
import {
  directlyFinished,
  endingOf,
  resetCounts,
  resetFar,
  resetOther,
  shellResetCounts,
} from './teardown.js';
import { translate, translateCopy } from './translate.js';

/** What to do with the packet that was received. */
export const Verdict = {
  /** None of ours: the host forwards it by itself. */
  Host: 0,
  /** Ours, and to be sent on byte for byte (TTL aside). */
  Pass: 1,
  /** Ours: send what the outbox holds, which may be nothing, and nothing else. */
  Emit: 2,
  /** The leader's: sent to it byte for byte (TTL aside), on the link that it came in from. */
  Steer: 3,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** Who holds the connections and flows, and is told when one of them is over. */
export interface FlowKeeper {
  unpairedEnded(x: Connection): void;
  flowEnded(flow: Flow, now: number): void;
}

export class FlowStepper {
  readonly outbox = new Outbox();
  /** After `Verdict.Pass`: the receiver's MSS, or 0 where it isn't known. */
  passMss = 0;
  /** Packets of the shell's that went no further, because their flow no longer needs it. */
  swallowed = 0;
  /** Flows that are clamped or drain. */
  private readonly moving = new Set<Flow>();
  private readonly holding: Holding;
  /** Those that close, where other switches carry packets too. */
  private readonly closing = new Set<Flow>();

  constructor(
    private readonly options: EngineOptions,
    private readonly onEvent: EngineListener,
    private readonly keeper: FlowKeeper,
  ) {
    this.holding = new Holding(options.teardownLimit, this.outbox, onEvent, this);
  }

  /** True while a flow is on its way from `relayed` to `stitched`. */
  get busy(): boolean {
    return this.moving.size > 0;
  }

  /** Before each packet or request. */
  clear(): void {
    this.outbox.clear();
    this.passMss = 0;
  }

  tick(now: number): void {
    for (const flow of this.moving) {
      if (flow.mode === Mode.Clamp) this.afterClamp(flow, now);
      else if (now >= flow.deadline) this.breakFlow(flow, 'drain-timeout', now);
    }
    this.holding.tick(now);
    for (const flow of this.closing) this.tickClosing(flow, now);
  }

  /** In a group whose switches all carry packets: the last ack may have taken another way. */
  private tickClosing(flow: Flow, now: number): void {
    const at = quietAt(flow);
    if (flow.state !== 'closing') this.closing.delete(flow);
    else if (at !== undefined && now >= at) this.end(flow, 'finished', 'fin', now);
  }

  /** A packet of a flow of which this switch holds a copy, for it is another one's: `carry.ts`. */
  carry(x: Connection, fromShell: boolean, segment: TcpSegment, now: number, knowsLeader: boolean): Verdict {
    const flow = x.flow as Flow;
    if (fromShell) {
      if (segment.has(TcpFlag.Syn) && knowsLeader) return Verdict.Steer;
      this.swallowed++;
      return Verdict.Emit;
    }
    if (isLeaders(x, flow, segment, now) && knowsLeader) return Verdict.Steer;
    translateCopy(x, segment, this.outbox);
    return Verdict.Emit;
  }

  /** It was closing when it was restored. */
  awaitClose(flow: Flow): void {
    if (this.options.shared && flow.state === 'closing') this.closing.add(flow);
  }

  /** Lets go on what is held of an end's. */
  proceed(x: Connection, flow: Flow, now: number): void {
    this.holding.release(x, flow, now);
  }

  /** Gives up a flow: a relayed one goes on unwatched, one that is cut or stitched is reset at both ends. */
  release(flow: Flow, now: number): void {
    const direct = flow.mode === Mode.Drain || flow.mode === Mode.Direct;
    if (direct) {
      resetFar(flow.outer, this.outbox);
      resetFar(flow.inner, this.outbox);
      flow.mode = Mode.Dead;
    }
    this.end(flow, 'release', !direct && flow.state === 'closing' ? endingOf(flow) : 'released', now);
  }

  /** A packet of the peer's or the core's. */
  fromFar(x: Connection, segment: TcpSegment, now: number): Verdict {
    const { flow } = x;
    const mode = flow === undefined ? Mode.Relay : flow.mode;
    // Where other switches carry it too, its numbers here are old.
    const mayJudge = !this.options.shared || mode < Mode.Direct;
    if (mayJudge && !isBelievable(x, segment)) return this.strayFromFar(x, mode, segment);
    if (mode === Mode.Direct) noteSentDirectly(x);
    // Before the stitch there is no holding it: left out, it comes again, as if it had been lost.
    if (mode === Mode.Drain && flow?.holdsEnds) segment.flags &= ~TcpFlag.Fin;
    if (flow?.restored) relearn(x, segment);
    if (this.options.shared && flow && mode === Mode.Direct && !segment.has(TcpFlag.Rst))
      learnFromAck(x, flow, segment);
    if (!segment.has(TcpFlag.Syn)) x.trackFar(segment, now);
    else if (mode <= Mode.Clamp) return this.relaySyn(x, segment, false, now);
    if (flow === undefined || mode === Mode.Relay) return this.relayFromFar(x, segment, now);
    if (mode === Mode.Clamp) return this.clampFromFar(x, flow, segment, now);
    if (mode === Mode.Drain) return this.drainFar(x, flow, segment, now);
    if (mode === Mode.Direct) return this.directFromFar(x, flow, segment, now);
    if (segment.has(TcpFlag.Ack) && !segment.has(TcpFlag.Rst)) emitReset(x, segment.ack, this.outbox);
    return Verdict.Emit;
  }

  /** What X can't have sent goes on to whoever can judge it, and teaches nothing. In a drain there is nobody. */
  private strayFromFar(x: Connection, mode: Mode, segment: TcpSegment): Verdict {
    if (mode <= Mode.Clamp) return this.pass(x, false);
    if (mode === Mode.Direct) translate(x, segment, this.outbox, false);
    return Verdict.Emit;
  }

  /** A SYN or SYN-ACK on its way by the shell: aligned and noted. */
  relaySyn(x: Connection, segment: TcpSegment, fromShell: boolean, now: number): Verdict {
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
        this.endByReset(x, flow, segment, now);
      } else {
        translate(x, segment, this.outbox);
      }
      return Verdict.Emit;
    }
    drainFromFar(x, segment, this.outbox);
    if (segment.has(TcpFlag.Fin)) this.reportFin(x, flow, segment);
    this.afterDrain(flow, now);
    return Verdict.Emit;
  }

  private directFromFar(x: Connection, flow: Flow, segment: TcpSegment, now: number): Verdict {
    if (flow.holdsEnds) {
      this.holding.fromFar(x, flow, segment, now);
      this.noteToShell(flow);
      return Verdict.Emit;
    }
    const isReset = segment.has(TcpFlag.Rst);
    const inexact = isReset && !resetCounts(x, segment);
    if (inexact) this.passReset(x, flow, segment, now);
    else translate(x, segment, this.outbox);
    this.noteToShell(flow);
    if (flow.state === 'closed' || inexact) return Verdict.Emit;
    if (isReset) {
      this.endByReset(x, flow, segment, now);
    } else if (segment.has(TcpFlag.Fin)) {
      this.reportFin(x, flow, segment);
      this.move(flow, 'fin', undefined, now);
    }
    if (flow.state === 'closing' && directlyFinished(flow)) this.end(flow, 'finished', 'fin', now);
    return Verdict.Emit;
  }

  /** A RST that does not count goes on, and changes nothing; where numbers may be stale, its sender is asked. */
  passReset(x: Connection, flow: Flow, segment: TcpSegment, now: number): void {
    translate(x, segment, this.outbox);
    if (this.options.shared) askWhereItStands(x, flow, segment, now, this.outbox);
  }

  /** Counts what a stitched flow sends to the shell: nothing, and this is what shows it. */
  private noteToShell(flow: Flow): void {
    const { outbox } = this;
    for (let i = 0; i < outbox.count; i++) {
      const { tuple, segment } = outbox.at(i);
      if (tuple !== flow.outer.toShell && tuple !== flow.inner.toShell) continue;
      flow.toShellPackets++;
      flow.toShellBytes += segment.payloadLength;
    }
  }

  // ---- packets of the shell

  /** A packet of the shell's. */
  fromShell(x: Connection, segment: TcpSegment, now: number): Verdict {
    const { flow } = x;
    const mode = flow === undefined ? Mode.Relay : flow.mode;
    if (mode >= Mode.Direct) {
      this.swallowed++;
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
      if (x.finished) this.keeper.unpairedEnded(x);
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

  /** Starts what leads to the stitch; or refuses it. */
  beginClamp(flow: Flow, offsets: StitchOffsets, now: number): void {
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

  refuse(flow: Flow, reason: RefusalReason, now: number): void {
    flow.mode = Mode.Relay;
    flow.wanted = undefined;
    this.moving.delete(flow);
    this.move(flow, 'refuse', reason, now);
  }

  breakFlow(flow: Flow, reason: BrokenReason, now: number): void {
    resetFar(flow.outer, this.outbox);
    resetFar(flow.inner, this.outbox);
    flow.mode = Mode.Dead;
    this.end(flow, 'break', reason, now);
  }

  private endByReset(x: Connection, flow: Flow, segment: TcpSegment, now: number): void {
    const from = x.side === 'outer' ? 'peer' : 'core';
    if (this.options.shared) {
      learnFromReset(x, flow, segment);
      if (hasLeftUnseen(x, flow)) {
        this.end(flow, 'finished', 'fin', now);
        return;
      }
    }
    x.resetBy = 'far';
    this.onEvent(flow, 'rst', from, segment);
    this.end(flow, 'reset', `reset-by-${from}`, now);
  }

  private reportFin(x: Connection, flow: Flow, segment: TcpSegment): void {
    if (x.finReported) return;
    x.finReported = true;
    this.onEvent(flow, 'fin', x.side === 'outer' ? 'peer' : 'core', segment);
  }

  end(flow: Flow, event: FlowMachineEvent, reason: FlowReason, now: number): void {
    this.moving.delete(flow);
    this.holding.forget(flow);
    this.closing.delete(flow);
    this.move(flow, event, reason, now);
    this.keeper.flowEnded(flow, now);
  }

  move(flow: Flow, event: FlowMachineEvent, reason: FlowReason | undefined, now: number): void {
    const state = nextState(flow.state, event);
    if (state === undefined) return;
    flow.state = state;
    if (reason) flow.reason = reason;
    flow.history.push({ state, at: now });
    if (state === 'closing' && this.options.shared && flow.mode === Mode.Direct) this.closing.add(flow);
    this.onEvent(flow, 'state', undefined, undefined);
  }

  // ---- sending on

  private pass(x: Connection, fromShell: boolean): Verdict {
    this.passMss = fromShell ? x.far.segmentLimit : x.shell.segmentLimit;
    return Verdict.Pass;
  }

  /** The received segment as it is, to be edited further; returns the segment that will be sent. */
  private forward(x: Connection, segment: TcpSegment, fromShell: boolean): TcpSegment {
    const tuple = fromShell ? x.toFar : x.toShell;
    const { mss } = fromShell ? x.far : x.shell;
    return this.outbox.addEdited(tuple, mss, segment, segment.payloadLength);
  }

  private noteTold(x: Connection, segment: TcpSegment, fromShell: boolean): void {
    if (fromShell) x.noteToldFar(segment);
    else x.noteToldShell(segment);
  }
}

/** A FIN or a RST that counts has passed by way of the shell. */
function isEnding({ far, shell, resetBy }: Connection): boolean {
  return far.finSeen || shell.finSeen || resetBy !== undefined;
}
