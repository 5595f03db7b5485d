/**
 * Carries a packet of a known connection through the rules of its flow's mode: `relay*` below, `clamp.ts`, `drain.ts`,
 * `translate.ts`. What the packet leads to is in `progress.ts`. Nothing here throws or, once the outbox has grown to size,
 * allocates for a packet.
 */
import { TcpFlag, type TcpSegment } from '../wire/segment.js';
import { seqDiff } from '../wire/seq.js';
import { alignFirst, alignSecond } from './align.js';
import { isBelievable } from './belief.js';
import { isLeaders } from './carry.js';
import { announceGrowth, capAt, clampWindow } from './clamp.js';
import type { Connection } from './connection.js';
import { drainFromFar, drainFromShell, shellEnd } from './drain.js';
import { type Flow, Mode } from './flow.js';
import { emitReset, keepMarkRecent, liftBareAck, noteSentDirectly } from './mapping.js';
import type { EngineOptions } from './options.js';
import type { Outbox } from './outbox.js';
import type { FlowProgress } from './progress.js';
import { relearn } from './restore.js';
import { learnFromAck } from './share.js';
import { directlyFinished, resetCounts, resetOther, shellResetCounts } from './teardown.js';
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

export class FlowStepper {
  /** After `Verdict.Pass`: the receiver's MSS, or 0 where it isn't known. */
  passMss = 0;
  /** Packets of the shell's that went no further, because their flow no longer needs it. */
  swallowed = 0;

  constructor(
    private readonly options: EngineOptions,
    private readonly progress: FlowProgress,
    readonly outbox: Outbox,
  ) {}

  /** Before each packet or request. */
  clear(): void {
    this.outbox.clear();
    this.passMss = 0;
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
    // While the other direction holds the flow up, any amount may pass in this one.
    if (mode === Mode.Clamp || mode === Mode.Drain) keepMarkRecent(x);
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
    this.progress.afterRelay(x, segment, now);
    return this.pass(x, false);
  }

  private clampFromFar(x: Connection, flow: Flow, segment: TcpSegment, now: number): Verdict {
    if (this.progress.endsBeforeCut(flow, segment, resetCounts(x, segment), now))
      return this.relayFromFar(x, segment, now);
    liftBareAck(x, this.forward(x, segment, false), x.shell.edge);
    x.noteToldShell(segment);
    const { clampCap } = this.options;
    announceGrowth(x.other, capAt(now, flow.deadline, clampCap), clampCap >> 3, this.outbox);
    this.progress.afterClamp(flow, now);
    return Verdict.Emit;
  }

  private drainFar(x: Connection, flow: Flow, segment: TcpSegment, now: number): Verdict {
    if (segment.has(TcpFlag.Rst)) {
      if (resetCounts(x, segment)) {
        resetOther(x, this.outbox);
        flow.mode = Mode.Direct;
        this.progress.endByReset(x, flow, segment, now);
      } else {
        translate(x, segment, this.outbox);
      }
      return Verdict.Emit;
    }
    drainFromFar(x, segment, this.outbox);
    if (segment.has(TcpFlag.Fin)) this.progress.reportFin(x, flow, segment);
    this.progress.afterDrain(flow, now);
    return Verdict.Emit;
  }

  private directFromFar(x: Connection, flow: Flow, segment: TcpSegment, now: number): Verdict {
    if (flow.holdsEnds) {
      this.progress.holding.fromFar(x, flow, segment, now);
      this.noteToShell(flow);
      return Verdict.Emit;
    }
    const isReset = segment.has(TcpFlag.Rst);
    const inexact = isReset && !resetCounts(x, segment);
    if (inexact) this.progress.passReset(x, flow, segment, now);
    else translate(x, segment, this.outbox);
    this.noteToShell(flow);
    if (flow.state === 'closed' || inexact) return Verdict.Emit;
    if (isReset) {
      this.progress.endByReset(x, flow, segment, now);
    } else if (segment.has(TcpFlag.Fin)) {
      this.progress.reportFin(x, flow, segment);
      this.progress.move(flow, 'fin', undefined, now);
    }
    if (flow.state === 'closing' && directlyFinished(flow)) this.progress.end(flow, 'finished', 'fin', now);
    return Verdict.Emit;
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
      !this.progress.endsBeforeCut(flow as Flow, segment, shellResetCounts(x, segment), now)
    ) {
      const sent = this.forward(x, segment, true);
      clampWindow(x, sent, capAt(now, (flow as Flow).deadline, this.options.clampCap));
      x.noteToldFar(sent);
      this.progress.afterClamp(flow as Flow, now);
      return Verdict.Emit;
    }
    if (segment.has(TcpFlag.Rst) && shellResetCounts(x, segment)) x.resetBy ??= 'shell';
    x.noteToldFar(segment);
    this.progress.afterRelay(x, segment, now);
    return this.pass(x, true);
  }

  private drainShell(x: Connection, flow: Flow, segment: TcpSegment, now: number): Verdict {
    // The shell may end its connection once all that it holds is on the wire; before that, bytes are lost.
    const unfinished = seqDiff(shellEnd(x), x.shell.max) > 0 && seqDiff(shellEnd(x), segment.end) >= 0;
    if (segment.has(TcpFlag.Rst) || (segment.has(TcpFlag.Fin) && unfinished)) {
      this.progress.breakFlow(flow, 'shell-lost', now);
      return Verdict.Emit;
    }
    // Its FIN goes no further, so it must not count as sent: what X is told may not lie beyond what X is sent.
    segment.flags &= ~TcpFlag.Fin;
    x.trackShell(segment, now);
    drainFromShell(x, segment, this.outbox);
    this.progress.afterDrain(flow, now);
    return Verdict.Emit;
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
