/**
 * Engines with one fault each, to show that the simulation would see it. Each wraps the real engine and
 * changes what leaves it, or what it is told.
 */
import { FlowEngine } from '../../../src/flow/engine.js';
import { Mode } from '../../../src/flow/flow.js';
import { OptionBit, TcpFlag, TcpSegment } from '../../../src/wire/segment.js';
import { seqAdd, seqMax } from '../../../src/wire/seq.js';
import type { Tuple } from '../../../src/wire/tuple.js';
import { FLOW_ID, type SimEmission, type SimEngine } from './switch-node.js';

type Emission = { -readonly [K in keyof SimEmission]: SimEmission[K] };

/** What a fault sees of one call: the packet received (none in a tick), and what is about to leave. */
interface Call {
  readonly engine: FlowEngine;
  readonly tuple: Tuple | undefined;
  readonly received: TcpSegment;
}

/** Changes one emission. */
type Spoil = (emission: Emission, call: Call) => void;
/** Changes what the engine knows, before it sees a packet. */
type Before = (engine: FlowEngine, now: number) => void;

const unspoiled = (): void => {};

class FaultyEngine implements SimEngine {
  readonly #engine = new FlowEngine();
  readonly #received = new TcpSegment();
  constructor(
    readonly spoil: Spoil,
    readonly before: Before = unspoiled,
  ) {}

  get outbox(): SimEngine['outbox'] {
    return this.#engine.outbox;
  }
  get busy(): boolean {
    return this.#engine.busy;
  }
  own(...args: Parameters<SimEngine['own']>): void {
    this.#engine.own(...args);
  }
  pair(...args: Parameters<SimEngine['pair']>): void {
    this.#engine.pair(...args);
  }
  enable(...args: Parameters<SimEngine['enable']>): void {
    this.#engine.enable(...args);
  }
  close(id: string, now: number): void {
    this.#engine.close(id, now);
  }
  flow(id: string): ReturnType<SimEngine['flow']> {
    return this.#engine.flow(id);
  }
  tick(now: number): void {
    this.#engine.tick(now);
    this.#received.clear();
    this.#spoilAll(undefined);
  }
  receive(tuple: Tuple, segment: TcpSegment, now: number): number {
    this.#received.copyFrom(segment);
    this.before(this.#engine, now);
    const verdict = this.#engine.receive(tuple, segment, now);
    this.#spoilAll(tuple);
    return verdict;
  }

  #spoilAll(tuple: Tuple | undefined): void {
    const call = { engine: this.#engine, tuple, received: this.#received };
    const { outbox } = this.#engine;
    for (let i = 0; i < outbox.count; i++) this.spoil(outbox.at(i), call);
  }
}

/** The emission leaves on another connection than the packet came in on, so it was translated. */
function translated(emission: Emission, { tuple }: Call): boolean {
  return tuple !== undefined && !emission.made && !emission.tuple.equals(tuple);
}

function stateOf({ engine }: Call): string | undefined {
  return engine.flow(FLOW_ID)?.state;
}

/** The delta of one direction is one too large. */
const shiftedDelta: Spoil = (emission, call) => {
  const flow = call.engine.flow(FLOW_ID);
  if (!flow || !translated(emission, call) || !emission.tuple.equals(flow.inner.toFar)) return;
  emission.segment.seq = seqAdd(emission.segment.seq, 1);
};

/** The shell's packets pass a drain as they are, with the shell's own idea of acknowledgment and window. */
const unedited: Spoil = (emission, call) => {
  if (stateOf(call) !== 'cutting' || emission.made || !call.tuple || !emission.tuple.equals(call.tuple))
    return;
  const { segment } = emission;
  segment.ack = call.received.ack;
  segment.window = call.received.window;
};

/** A retransmission from below the cut goes straight to the far end. */
const belowCut: Spoil = (emission, call) => {
  const flow = call.engine.flow(FLOW_ID);
  if (flow?.state !== 'cutting' || emission.segment.payloadLength === 0) return;
  for (const x of [flow.outer, flow.inner]) {
    if (!emission.tuple.equals(x.toShell)) continue;
    emission.tuple = x.other.toFar;
    emission.segment.seq = seqAdd(emission.segment.seq, x.delta);
    emission.segment.ack = seqAdd(emission.segment.ack, -x.other.delta);
  }
};

/** While draining, an end hears that all it sent was taken, whether the shell or the far end has it or not. */
const hastyAck: Spoil = (emission, call) => {
  const flow = call.engine.flow(FLOW_ID);
  if (flow?.state !== 'cutting' || !emission.segment.has(TcpFlag.Ack)) return;
  for (const x of [flow.outer, flow.inner]) {
    if (emission.tuple.equals(x.toFar)) emission.segment.ack = x.far.max;
  }
};

/** Timestamps are passed on as they came. */
const foreignTimestamps: Spoil = (emission, call) => {
  if (!translated(emission, call) || !emission.segment.hasOption(OptionBit.Timestamps)) return;
  emission.segment.tsval = call.received.tsval;
  emission.segment.tsecr = call.received.tsecr;
};

/** The far end's window is passed on without regard to scale. */
const unscaledWindow: Spoil = (emission, call) => {
  if (translated(emission, call)) emission.segment.window = call.received.window;
};

/** SACK edges stay as they came. */
const foreignSack: Spoil = (emission, call) => {
  if (!translated(emission, call)) return;
  emission.segment.sackLeft.set(call.received.sackLeft);
  emission.segment.sackRight.set(call.received.sackRight);
};

/** While draining, what goes directly carries timestamps from before those of the shell. */
const lateTimestamps: Spoil = (emission, call) => {
  if (stateOf(call) !== 'cutting' || !translated(emission, call)) return;
  emission.segment.tsval = (emission.segment.tsval - 5000) >>> 0;
};

/** What an end has no room for is cut all the same. */
const hastyCut: Before = (engine, now) => {
  const flow = engine.flow(FLOW_ID);
  if (flow?.mode !== Mode.Clamp || now < flow.deadline) return;
  for (const x of [flow.outer, flow.inner])
    x.other.far.edge = seqMax(x.other.far.edge, seqAdd(x.far.max, x.delta));
};

export interface Fault {
  readonly name: string;
  /** The rules of which at least one must find it. */
  readonly rules: readonly string[];
  readonly engine: () => SimEngine;
}

function fault(name: string, spoil: Spoil, ...rules: string[]): Fault {
  return { name, rules, engine: () => new FaultyEngine(spoil) };
}

export const FAULTS: readonly Fault[] = [
  fault('a delta that is off by one', shiftedDelta, 'content'),
  fault('packets of the shell that are not edited while draining', unedited, 'window'),
  fault('a segment from below the cut that goes directly', belowCut, 'below-cut'),
  fault('acknowledgments of what nobody took', hastyAck, 'ack'),
  fault('timestamps that are not translated', foreignTimestamps, 'tsecr'),
  fault('timestamps that fall behind', lateTimestamps, 'paws'),
  fault('windows that are not rescaled', unscaledWindow, 'window'),
  fault('SACK edges that are not translated', foreignSack, 'sack'),
  {
    name: 'a cut of what an end has no room for',
    rules: ['broken'],
    engine: () => new FaultyEngine(unspoiled, hastyCut),
  },
];
