/**
 * The simulated switch: gives every packet to the flow engine and does what its verdict says, calls its
 * `tick`, and shows each call's result to the invariants before anything leaves.
 */
import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from '../../../src/flow/endpoints.js';
import type { FlowReason, FlowState } from '../../../src/flow/state.js';
import { OptionBit, TcpFlag, type TcpSegment } from '../../../src/wire/segment.js';
import { seqAdd } from '../../../src/wire/seq.js';
import type { Tuple } from '../../../src/wire/tuple.js';
import type { EventQueue, Wakeable } from './events.js';
import { Host, type Packet, type PacketPool, type Path } from './packet.js';

export interface SimEmission {
  readonly tuple: Tuple;
  readonly segment: TcpSegment;
  readonly made: boolean;
  readonly mss: number;
}

export interface SimFlow {
  readonly state: FlowState;
  readonly reason?: FlowReason | undefined;
  /** All its states, in order. */
  readonly history: readonly { readonly state: FlowState }[];
  /** Its connections, with what each far end was seen to send. */
  readonly outer: SimConnection;
  readonly inner: SimConnection;
}

export interface SimConnection {
  readonly far: { readonly bytes: number };
}

/** What the simulation needs of a flow engine. */
export interface SimEngine {
  readonly outbox: { readonly count: number; at(index: number): SimEmission };
  readonly busy: boolean;
  own(ports: OwnedPorts): void;
  receive(tuple: Tuple, segment: TcpSegment, now: number): number;
  tick(now: number): void;
  pair(id: string, outer: ConnectionEndpoints, inner: ConnectionEndpoints, now: number): unknown;
  enable(id: string, offsets: StitchOffsets, now: number): unknown;
  close(id: string, now: number): unknown;
  flow(id: string): SimFlow | undefined;
}

/** `none`: the engine knows of no such flow (yet, or any more). */
export type SeenState = FlowState | 'none';

export interface SwitchWatcher {
  /** One engine call is over: it took the flow through `states` (none, often), and `packets` are about to leave. */
  onCall(before: SeenState, states: readonly SeenState[], packets: readonly Packet[]): void;
  onState(state: SeenState): void;
  fault(rule: string, text: string): void;
  onReceived(packet: Packet): void;
}

export const FLOW_ID = 'f';
const EMIT = 2;
const NO_STATES: readonly SeenState[] = [];
const IDLE_TICK = 100;

/** Passes everything: the network as it is without a switch. */
export const NO_ENGINE: SimEngine = {
  outbox: {
    count: 0,
    at: () => {
      throw new RangeError('nothing is emitted');
    },
  },
  busy: false,
  own: () => {},
  receive: () => 0,
  tick: () => {},
  pair: () => {},
  enable: () => {},
  close: () => {},
  flow: () => undefined,
};

export class SwitchNode implements Wakeable {
  state: SeenState = 'none';
  #leaving: Packet[] = [];
  #left = 0;
  /** States of the flow that were seen. */
  #known = 0;
  #nextTick = Number.POSITIVE_INFINITY;

  constructor(
    readonly engine: SimEngine,
    /** By `Path`. */
    readonly tuples: readonly Tuple[],
    readonly events: EventQueue,
    readonly pool: PacketPool,
    readonly watcher: SwitchWatcher,
    readonly egress: (packet: Packet) => void,
  ) {}

  start(): void {
    this.#tickAt(this.events.now + IDLE_TICK);
  }

  receive(packet: Packet): void {
    this.watcher.onReceived(packet);
    const verdict = this.engine.receive(this.tuples[packet.path] as Tuple, packet.segment, this.events.now);
    if (verdict === EMIT) {
      this.#collect(packet);
      this.#finish();
      this.pool.release(packet);
    } else {
      this.#leaving.push(packet);
      this.#finish();
    }
  }

  pair(outer: ConnectionEndpoints, inner: ConnectionEndpoints): void {
    this.engine.pair(FLOW_ID, outer, inner, this.events.now);
    this.#finish();
  }

  /** A flow that is over can't be enabled; the engine says so by throwing, and nothing changes. */
  enable(offsets: StitchOffsets): void {
    const state = this.engine.flow(FLOW_ID)?.state;
    if (state === undefined || state === 'closing' || state === 'closed' || state === 'broken') return;
    this.engine.enable(FLOW_ID, offsets, this.events.now);
    this.#collect(undefined);
    this.#finish();
  }

  /** The shell gives the flow up. */
  release(): void {
    if (!this.engine.flow(FLOW_ID)) return;
    this.engine.close(FLOW_ID, this.events.now);
    this.#collect(undefined);
    this.#finish();
  }

  wake(): void {
    const { now } = this.events;
    if (now < this.#nextTick) return;
    this.#nextTick = Number.POSITIVE_INFINITY;
    this.tick(now);
    this.#tickAt(now + (this.engine.busy ? 1 : IDLE_TICK));
  }

  tick(now: number): void {
    this.engine.tick(now);
    this.#collect(undefined);
    this.#finish();
  }

  #tickAt(at: number): void {
    if (at >= this.#nextTick) return;
    this.#nextTick = at;
    this.events.schedule(at, this, 0);
  }

  #finish(): void {
    const before = this.state;
    const states = this.#newStates();
    const packets = this.#leaving;
    this.watcher.onCall(before, states, packets);
    for (const packet of packets) {
      packet.left = ++this.#left;
      this.egress(packet);
    }
    packets.length = 0;
    for (const state of states) {
      this.state = state;
      this.watcher.onState(state);
    }
    if (this.engine.busy) this.#tickAt(this.events.now + 1);
  }

  #newStates(): readonly SeenState[] {
    const flow = this.engine.flow(FLOW_ID);
    if (flow === undefined) return this.state === 'none' ? NO_STATES : ['none'];
    if (flow.history.length === this.#known) return NO_STATES;
    const states = flow.history.slice(this.#known).map(({ state }) => state);
    this.#known = flow.history.length;
    return states;
  }

  #collect(received: Packet | undefined): void {
    const { outbox } = this.engine;
    for (let i = 0; i < outbox.count; i++) {
      const emission = outbox.at(i);
      const length = emission.segment.payloadLength;
      const path = this.#pathOf(emission.tuple);
      if (path === undefined) this.watcher.fault('emission', 'it goes to nobody');
      else if (length > 0 && (emission.made || received === undefined)) {
        this.watcher.fault('emission', 'payload that was not received');
      } else if (length < 0 || length > (received?.segment.payloadLength ?? 0)) {
        this.watcher.fault('emission', 'payload beyond what was received');
      } else this.#emit(emission, path, received);
    }
  }

  #pathOf(tuple: Tuple): Path | undefined {
    for (let path = 0; path < 4; path++) if (this.tuples[path]?.equals(tuple)) return path as Path;
    return undefined;
  }

  /** Splits what is too big for the receiver, as segmentation offload does: FIN and PSH stay with the last part. */
  #emit(emission: SimEmission, path: Path, received: Packet | undefined): void {
    const { segment } = emission;
    const most = Math.max(1, emission.mss - optionBytes(segment));
    let done = 0;
    do {
      const length = Math.min(most, segment.payloadLength - done);
      const packet = this.pool.take(path, emission.made || !received ? Host.Switch : received.producer);
      if (received && !emission.made) packet.made = received.made;
      const part = packet.segment.copyFrom(segment);
      part.seq = seqAdd(segment.seq, done);
      part.payloadLength = length;
      packet.content = (received?.content ?? 0) + done;
      packet.wholeEnd = (received?.content ?? 0) + segment.sequenceLength;
      done += length;
      if (done < segment.payloadLength) part.flags &= ~(TcpFlag.Fin | TcpFlag.Psh);
      this.#leaving.push(packet);
    } while (done < segment.payloadLength);
  }
}

function optionBytes(segment: TcpSegment): number {
  const stamps = segment.hasOption(OptionBit.Timestamps) ? 12 : 0;
  const sack = segment.hasOption(OptionBit.Sack) ? 4 + 8 * segment.sackCount : 0;
  return stamps + sack;
}
