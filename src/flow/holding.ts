/**
 * Flows whose FIN or RST is held, or was let go on and is not acknowledged yet: what leads to what. A FIN is
 * repeated with growing waits for as long as its receiver says anything; a receiver that stays silent breaks the flow.
 */
import { TcpFlag, type TcpSegment } from '../wire/segment.js';
import type { Connection } from './connection.js';
import type { Flow } from './flow.js';
import { emitFin, finDelivered, hasLeft, translateHolding } from './hold.js';
import type { FlowMachineEvent } from './machine.js';
import type { EngineListener } from './options.js';
import type { Outbox } from './outbox.js';
import type { FlowReason } from './state.js';
import { directlyFinished, resetCounts, resetFar } from './teardown.js';

/** First wait before a FIN is repeated, ms; each is twice the one before it. */
const RESEND_FIRST = 300;
/** To a receiver that answers, though not for the FIN (its window is closed), the waits grow no further than this. */
const RESEND_ALIVE = 3;
/** 300 ms · (2⁹ − 1) in all: RFC 9293 section 3.8.3 asks for at least 100 s. */
const RESEND_MOST = 8;

/** What moves these flows on: `progress.ts`. */
export interface HoldingProgress {
  move(flow: Flow, event: FlowMachineEvent, reason: FlowReason | undefined, now: number): void;
  end(flow: Flow, event: FlowMachineEvent, reason: FlowReason, now: number): void;
  breakFlow(flow: Flow, reason: 'fin-unacknowledged', now: number): void;
  /** A RST that does not count. */
  passReset(x: Connection, flow: Flow, segment: TcpSegment, now: number): void;
}

export class Holding {
  /** Flows with something that is due at a time. */
  private readonly flows = new Set<Flow>();

  constructor(
    private readonly limit: number,
    private readonly out: Outbox,
    private readonly onEvent: EngineListener,
    private readonly progress: HoldingProgress,
  ) {}

  /** A packet of a stitched flow that holds its ends; already tracked. */
  fromFar(x: Connection, flow: Flow, segment: TcpSegment, now: number): void {
    const over = flow.state === 'closed';
    if (x.resetHeld || x.other.resetHeld) {
      this.whileReset(x, flow, segment, now);
    } else if (segment.has(TcpFlag.Rst)) {
      if (hasLeft(x)) return;
      if (!over && resetCounts(x, segment)) this.holdReset(x, flow, segment, now);
      else this.progress.passReset(x, flow, segment, now);
    } else {
      const hadFin = segment.has(TcpFlag.Fin);
      if (hadFin && !over) this.holdFin(x, flow, segment, now);
      segment.flags &= ~TcpFlag.Fin;
      translateHolding(x, segment, hadFin, this.out);
      if (!over) this.noteDelivery(x.other, flow, now);
    }
  }

  /** Lets go on what is held of X's, if anything is. */
  release(x: Connection, flow: Flow, now: number): void {
    if (x.resetHeld) {
      this.releaseReset(x, flow, now);
    } else if (x.finHeld && !x.other.resetHeld && flow.state === 'closing') {
      x.finHeld = false;
      x.finSent = true;
      emitFin(x, this.out);
      flow.resends = 0;
      flow.resendAt = now + RESEND_FIRST;
      if (!x.other.finHeld) flow.deadline = 0;
    }
  }

  /** What ends is no longer looked at. */
  forget(flow: Flow): void {
    this.flows.delete(flow);
  }

  tick(now: number): void {
    for (const flow of this.flows) this.tickFlow(flow, now);
  }

  private tickFlow(flow: Flow, now: number): void {
    const { outer, inner } = flow;
    if (flow.deadline !== 0 && now >= flow.deadline) {
      this.release(outer, flow, now);
      this.release(inner, flow, now);
    } else if (flow.resendAt !== 0 && now >= flow.resendAt) {
      this.resend(flow, now);
    }
    if (flow.deadline === 0 && flow.resendAt === 0) this.flows.delete(flow);
  }

  private resend(flow: Flow, now: number): void {
    const { outer, inner } = flow;
    const sentAt = flow.resendAt - RESEND_FIRST * 2 ** flow.resends;
    const silent = Math.max(outer.lastPacketAt, inner.lastPacketAt) < sentAt;
    if (flow.resends === RESEND_MOST && silent) {
      this.progress.breakFlow(flow, 'fin-unacknowledged', now);
      return;
    }
    for (const x of [outer, inner]) if (x.finSent) emitFin(x, this.out);
    flow.resends = Math.min(flow.resends + 1, silent ? RESEND_MOST : RESEND_ALIVE);
    flow.resendAt = now + RESEND_FIRST * 2 ** flow.resends;
  }

  private holdFin(x: Connection, flow: Flow, segment: TcpSegment, now: number): void {
    if (x.finReported) return;
    x.finReported = true;
    x.finHeld = true;
    this.hold(flow, now);
    this.onEvent(flow, 'fin', endOf(x), segment);
    this.progress.move(flow, 'fin', undefined, now);
  }

  /** A FIN of X's that is still held stays so: it went no further, and will not. */
  private holdReset(x: Connection, flow: Flow, segment: TcpSegment, now: number): void {
    x.resetHeld = true;
    x.resetBy = 'far';
    x.finSent = false;
    this.hold(flow, now);
    this.onEvent(flow, 'rst', endOf(x), segment);
  }

  private hold(flow: Flow, now: number): void {
    if (flow.deadline === 0) flow.deadline = now + this.limit;
    this.flows.add(flow);
  }

  /** X or Y is gone: nothing goes to or from it any more. When the other one resets too, nobody is left to be told. */
  private whileReset(x: Connection, flow: Flow, segment: TcpSegment, now: number): void {
    const y = x.other;
    if (x.resetHeld || !segment.has(TcpFlag.Rst) || !resetCounts(x, segment)) return;
    y.resetHeld = false;
    this.onEvent(flow, 'rst', endOf(x), segment);
    this.progress.end(flow, 'reset', `reset-by-${endOf(y)}`, now);
  }

  private releaseReset(x: Connection, flow: Flow, now: number): void {
    x.resetHeld = false;
    resetFar(x.other, this.out);
    this.progress.end(flow, 'reset', `reset-by-${endOf(x)}`, now);
  }

  /** After a packet of the receiver's: was X's FIN acknowledged? */
  private noteDelivery(x: Connection, flow: Flow, now: number): void {
    if (x.finSent && finDelivered(x)) {
      x.finSent = false;
      if (!x.other.finSent) flow.resendAt = 0;
    }
    if (flow.state === 'closing' && directlyFinished(flow)) this.progress.end(flow, 'finished', 'fin', now);
  }
}

function endOf(x: Connection): 'peer' | 'core' {
  return x.side === 'outer' ? 'peer' : 'core';
}
