/**
 * Moves flows on, by what a packet, a request or time leads to: from relayed by way of the clamp, the cut and the drain to
 * stitched, and to an end. The `after*` functions see whether a flow goes over to its next state.
 */
import { TcpFlag, type TcpSegment } from '../wire/segment.js';
import { seqDiff } from '../wire/seq.js';
import { refusalOf } from './align.js';
import { drainable, pipelinesEmpty, readyToCut } from './clamp.js';
import type { Connection } from './connection.js';
import { drained, makeCut, repeatAck, setTimestampDelta, settleTimestampDelta } from './drain.js';
import type { StitchOffsets } from './endpoints.js';
import { type Flow, Mode } from './flow.js';
import { Holding } from './holding.js';
import { type FlowMachineEvent, nextState } from './machine.js';
import { emitBareAck, farAck, farEdge, offsetsPossible, setDeltas } from './mapping.js';
import type { EngineListener, EngineOptions } from './options.js';
import type { Outbox } from './outbox.js';
import { askWhereItStands, hasLeftUnseen, learnFromReset, quietAt } from './share.js';
import type { BrokenReason, FlowReason, RefusalReason } from './state.js';
import { directlyFinished, endingOf, resetFar } from './teardown.js';
import { translate } from './translate.js';

/** Who holds the connections and flows, and is told when one of them is over. */
export interface FlowKeeper {
  unpairedEnded(x: Connection): void;
  flowEnded(flow: Flow, now: number): void;
}

export class FlowProgress {
  readonly holding: Holding;
  /** Flows that are clamped or drain, and whose time is not over. */
  private readonly moving = new Set<Flow>();
  /** Those that close, where other switches carry packets too. */
  private readonly closing = new Set<Flow>();

  constructor(
    private readonly options: EngineOptions,
    private readonly onEvent: EngineListener,
    private readonly keeper: FlowKeeper,
    private readonly outbox: Outbox,
  ) {
    this.holding = new Holding(options.teardownLimit, outbox, onEvent, this);
  }

  /** True while a flow is on its way from `relayed` to `stitched`. */
  get busy(): boolean {
    return this.moving.size > 0;
  }

  tick(now: number): void {
    for (const flow of this.moving) {
      if (flow.mode === Mode.Clamp) this.tickClamped(flow, now);
      else if (now >= flow.deadline) this.breakFlow(flow, 'drain-timeout', now);
    }
    this.holding.tick(now);
    for (const flow of this.closing) this.tickClosing(flow, now);
  }

  /** After its deadline only packets change anything. */
  private tickClamped(flow: Flow, now: number): void {
    this.afterClamp(flow, now);
    if (flow.mode === Mode.Clamp && now >= flow.deadline) this.moving.delete(flow);
  }

  /** In a group whose switches all carry packets: the last ack may have taken another way. */
  private tickClosing(flow: Flow, now: number): void {
    const at = quietAt(flow);
    if (flow.state !== 'closing') this.closing.delete(flow);
    else if (at !== undefined && now >= at) this.end(flow, 'finished', 'fin', now);
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

  afterRelay(x: Connection, segment: TcpSegment, now: number): void {
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
  endsBeforeCut(flow: Flow, segment: TcpSegment, resetCounts: boolean, now: number): boolean {
    const ends = segment.has(TcpFlag.Rst) ? resetCounts : segment.has(TcpFlag.Fin);
    if (ends) this.refuse(flow, 'closing-before-cut', now);
    return ends;
  }

  afterClamp(flow: Flow, now: number): void {
    const { outer, inner } = flow;
    if (pipelinesEmpty(outer, inner)) {
      for (const x of [outer, inner]) setTimestampDelta(x, now);
      this.stitch(flow, 'empty', now);
      return;
    }
    if (!readyToCut(outer, inner) && !(now >= flow.deadline && drainable(outer, inner))) return;
    for (const x of [outer, inner]) {
      makeCut(x);
      setTimestampDelta(x, now);
    }
    flow.mode = Mode.Drain;
    flow.deadline = now + this.options.drainLimit;
    this.moving.add(flow);
    this.move(flow, 'cut', undefined, now);
    this.afterDrain(flow, now);
  }

  afterDrain(flow: Flow, now: number): void {
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

  endByReset(x: Connection, flow: Flow, segment: TcpSegment, now: number): void {
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

  reportFin(x: Connection, flow: Flow, segment: TcpSegment): void {
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

  /** A RST that does not count goes on, and changes nothing; where numbers may be stale, its sender is asked. */
  passReset(x: Connection, flow: Flow, segment: TcpSegment, now: number): void {
    translate(x, segment, this.outbox);
    if (this.options.shared) askWhereItStands(x, flow, segment, now, this.outbox);
  }
}

/** A FIN or a RST that counts has passed by way of the shell. */
function isEnding({ far, shell, resetBy }: Connection): boolean {
  return far.finSeen || shell.finSeen || resetBy !== undefined;
}
