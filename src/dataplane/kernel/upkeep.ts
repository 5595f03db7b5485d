/**
 * What has time in it, and so is the process's: ticking flows that are clamped or drain or hold an end, forgetting those that
 * ended or fell silent, and making up for events that were lost.
 */

import type { EngineOptions } from '../../flow/options.js';
import { QUIET_MS } from '../../flow/share.js';
import type { FlowState } from '../../flow/state.js';
import type { SystemClock } from '../../platform/clock.js';
import type { Logger } from '../../platform/log.js';
import { repeat } from '../../platform/repeat.js';
import type { FlowEvent, FlowSnapshot } from '../port.js';
import type { ControlChannel, Reply } from './control-channel.js';
import type { FlowStore, Known, Wish } from './flow-store.js';
import type { QuietFlows } from './quiet-flows.js';
import type { RecordReader } from './record-reader.js';
import type { Steering } from './steering.js';

/** In these nothing is asked of the process that takes a flow over. */
const AT_REST: ReadonlySet<FlowState> = new Set(['watched', 'relayed', 'stitched']);
const TICK_MS = 10;
const SWEEP_MS = 1000;

export interface UpkeepParts {
  readonly store: FlowStore;
  readonly reader: RecordReader;
  readonly requests: ControlChannel;
  readonly quiet: QuietFlows;
  readonly steering: Steering;
  readonly engine: EngineOptions;
  readonly epochOffset: number;
  readonly clock: SystemClock;
  readonly log: Logger;
  /** Nothing is done after this. */
  readonly stopped: AbortSignal;
  /** Has what happened by now told. */
  readonly consume: () => void;
  readonly tell: (event: FlowEvent) => void;
  /** Asks once more for the stitch of a flow that is relayed by now. */
  readonly begin: (known: Known, wish: Wish) => void;
}

export class Upkeep {
  /** Flows that close, where silence may be all that tells of their end, until somebody ticks them. */
  private readonly closing = new Set<Known>();
  private ticking = false;
  private eventsLost = 0;

  constructor(private readonly parts: UpkeepParts) {}

  start(): void {
    const { clock, log, stopped } = this.parts;
    const onError = (err: unknown): void => log.error({ err }, 'kernel data path');
    void repeat(clock, SWEEP_MS, stopped, () => this.sweep(), onError);
  }

  /** A flow that was put into the kernel's maps. */
  placed(known: Known, state: FlowState): void {
    if (state === 'closing') this.closing.add(known);
    if (!this.parts.steering.isOn) this.awaitEnds();
  }

  /** An event of a flow that this process knows was told. */
  told(known: Known, event: FlowEvent): void {
    if (event.kind === 'state') this.follow(known, event.flow);
    if (event.held) this.tickBy(known, this.parts.engine.teardownLimit);
    else if (event.kind === 'fin') this.awaitEnd(known);
  }

  /** Nobody else looks after flows that close. */
  awaitEnds(): void {
    for (const known of this.closing) if (this.parts.store.get(known.id) === known) this.awaitEnd(known);
    this.closing.clear();
  }

  /** In a group whose switches all carry packets, silence may be all that tells of a flow's end. */
  private awaitEnd(known: Known): void {
    if (this.parts.engine.shared && !this.parts.store.ticks.has(known)) this.tickLater(known, QUIET_MS);
  }

  /** What a new state asks of this process. */
  private follow(known: Known, flow: FlowSnapshot): void {
    const { state } = flow;
    if (state === 'relayed' && known.wanted) {
      const { wanted } = known;
      queueMicrotask(() => this.parts.stopped.aborted || this.parts.begin(known, wanted));
    } else if (state === 'clamping' || state === 'cutting') {
      this.tickLater(known, 0);
    } else if (state === 'closed' || state === 'broken') {
      this.ended(known, flow);
    } else {
      // One that closes may hold something, and is ticked for that.
      if (state !== 'closing') this.parts.store.ticks.delete(known);
      if (state === 'refused') known.wanted = undefined;
      if (state === 'closing') this.closing.add(known);
      if (!this.parts.steering.isOn) this.awaitEnds();
    }
  }

  /** A relayed flow is forgotten at once; late packets of one that was cut are still translated for a while. */
  private ended(known: Known, { history, reason }: FlowSnapshot): void {
    const wasCut = history.some(({ state }) => state === 'cutting' || state === 'stitched');
    const { lingerClosed, lingerReset } = this.parts.engine;
    const linger = wasCut ? (reason === 'fin' ? lingerClosed : lingerReset) : 0;
    this.parts.store.linger(known, this.parts.clock.kernel() + linger);
    if (!wasCut) queueMicrotask(() => this.forget(known));
  }

  forget(known: Known): void {
    this.parts.requests.forget(known);
    this.parts.store.forget(known);
    this.closing.delete(known);
  }

  tickAsDue(known: Known, { due }: Reply): void {
    if (due === 0) this.parts.store.ticks.delete(known);
    else this.tickLater(known, due);
  }

  /** At the latest then: something else may be due before it, as a FIN that is repeated. */
  private tickBy(known: Known, ms: number): void {
    const { clock, store } = this.parts;
    const before = store.ticks.get(known);
    if (before === undefined || before > clock.kernel() + ms) this.tickLater(known, ms);
  }

  private tickLater(known: Known, ms: number): void {
    this.parts.store.ticks.set(known, this.parts.clock.kernel() + ms);
    void this.tickWhileDue();
  }

  private async tickWhileDue(): Promise<void> {
    if (this.ticking) return;
    this.ticking = true;
    const { clock, requests, stopped, store } = this.parts;
    const { ticks } = store;
    while (ticks.size > 0 && !stopped.aborted) {
      await clock.sleep(TICK_MS, stopped).catch(() => {});
      if (stopped.aborted) break;
      const now = clock.kernel();
      for (const [known, at] of ticks) if (at <= now) this.tickAsDue(known, requests.tick(known));
      this.parts.consume();
    }
    this.ticking = false;
  }

  private sweep(): void {
    const now = this.parts.clock.kernel();
    for (const known of this.parts.store.due(now)) this.forget(known);
    // Copies of another switch's flows neither move on nor end by themselves.
    if (this.parts.steering.isOn) return;
    this.lookForLostEvents();
    this.parts.quiet.look(now);
  }

  /** A full ring buffer loses events, never states: then each flow is looked at. */
  private lookForLostEvents(): void {
    const { reader } = this.parts;
    const { eventsLost = 0 } = reader.counters();
    if (eventsLost === this.eventsLost) return;
    this.eventsLost = eventsLost;
    this.parts.log.warn({ eventsLost }, 'the event buffer was full; flows are compared one by one');
    // What waits there is older than what the flows are compared by.
    this.parts.consume();
    for (const known of [...this.parts.store.all()]) {
      if (this.parts.store.lingers(known)) continue;
      const flow = reader.read(known.slot).snapshot(this.parts.epochOffset);
      this.parts.tell({ kind: 'state', flow });
      this.follow(known, flow);
      if (reader.read(known.slot).holds) this.tickLater(known, 0);
    }
  }

  /** Takes over the flows that a former process left in the kernel. */
  adopt(): void {
    this.parts.reader.each((record, slot) => {
      if (!record.used || !record.paired) return;
      const { generation, holds, id, isIpv6, state } = record;
      const known = { id, slot, generation, isIpv6 };
      this.parts.store.add(known);
      if (!AT_REST.has(state)) this.follow(known, record.snapshot(this.parts.epochOffset));
      if (holds) this.tickLater(known, 0);
    });
  }
}
