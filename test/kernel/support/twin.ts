/**
 * The flow engine and the kernel's program, side by side: both are given the same packets and requests, and the first
 * difference of verdict, bytes, events or state is thrown.
 *
 * What differs by design is seen to here:
 * - The order in which one step's packets leave: compared as a multiset.
 * - `enable` before both handshakes are complete: the engine keeps the wish, the kernel answers with the state and the
 *   process asks again. Here both are asked once the flow is `relayed`.
 * - Forgetting: the kernel keeps the record of a flow that ended until it is told to forget it.
 * - What a switch that follows misses: only the kernel's program tells its process.
 * - A packet with a bad checksum: the userspace path drops it before the engine sees it, the kernel keeps it bad.
 *   Not given to a twin.
 */

import { EventKind, LAYOUT } from '../../../src/dataplane/kernel/layout.js';
import type { RingBuffer } from '../../../src/dataplane/kernel/libbpf.js';
import { readEvent } from '../../../src/dataplane/kernel/records.js';
import { Restorer } from '../../../src/dataplane/kernel/restorer.js';
import type { FlowEvent, FlowSide } from '../../../src/dataplane/port.js';
import { eventOf } from '../../../src/dataplane/snapshot.js';
import { PacketPath } from '../../../src/dataplane/userspace/packet-path.js';
import { type SendResult, SendResult as Sent } from '../../../src/dataplane/userspace/sender.js';
import type { Following } from '../../../src/flow/carry.js';
import type { Connection } from '../../../src/flow/connection.js';
import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from '../../../src/flow/endpoints.js';
import { Verdict } from '../../../src/flow/engine.js';
import { FlowRequestError } from '../../../src/flow/errors.js';
import { type Flow, Mode } from '../../../src/flow/flow.js';
import type { Outbox } from '../../../src/flow/outbox.js';
import { isRestorable, type Past, type SavedFlow, saveFlow } from '../../../src/flow/restore.js';
import { quietAt } from '../../../src/flow/share.js';
import { FLOW_STATES, TEARDOWN_MODES, type TeardownMode } from '../../../src/flow/state.js';
import { destinationOf, sourceOf, tupleOf } from '../../../src/wire/endpoint.js';
import { FrameView } from '../../../src/wire/frame.js';
import { decrementTtl } from '../../../src/wire/rewrite.js';
import type { TcpSegment } from '../../../src/wire/segment.js';
import type { Tuple } from '../../../src/wire/tuple.js';
import { RecordComparison, readField } from './compare.js';
import { describePacket, frameOf, isPartial, wholeChecksum } from './frames.js';
import { insideEngine } from './inside.js';
import { type Kernel, type Reply, TC_ACT_SHOT, TC_ACT_UNSPEC } from './kernel.js';
import { WatchedEngine } from './watched-engine.js';

/** Nothing is split: the kernel leaves that to the interface. */
const LARGEST_MTU = 65_535;
const REMEMBERED_STEPS = 12;

function endsOf(x: Connection): ConnectionEndpoints {
  return { local: destinationOf(x.toShell), remote: sourceOf(x.toShell) };
}

export class Difference extends Error {
  override name = 'Difference';
}

interface Watched {
  readonly slot: number;
  readonly generation: number;
  /** Set once the engine no longer knows it: the steps until the kernel is told. */
  forgetIn?: number;
}

/** What a request says besides the flow. */
interface More {
  readonly offsets?: StitchOffsets;
  readonly teardown?: TeardownMode;
  readonly from?: FlowSide;
}

export interface TwinOptions {
  /** How many steps a relayed flow that ended stays in the kernel. */
  readonly forgetAfter?: number;
  /** Of a group whose switches carry together; the program must be loaded as one of such a group too. */
  readonly shared?: boolean;
}

export class Twin {
  readonly engine: WatchedEngine;
  private readonly inside: ReturnType<typeof insideEngine>;
  private readonly path: PacketPath;
  private sent: Buffer[] = [];
  private lastEvent: Buffer | undefined;
  private readonly engineEvents: string[] = [];
  private readonly kernelEvents: string[] = [];
  private readonly watched = new Map<Connection, Watched>();
  private readonly comparison: RecordComparison;
  private readonly steps: (() => string)[] = [];
  private wanted:
    | { readonly id: string; readonly offsets: StitchOffsets; readonly teardown: TeardownMode }
    | undefined;
  private readonly ring: RingBuffer;
  /** Packets that both sent; the test's proof that something was compared. */
  compared = 0;
  /** What the kernel sent last, of a packet that it was given. */
  lastPackets: readonly Buffer[] = [];
  /** All that the kernel sent last has a checksum that is left to the interface. */
  wasPartial = false;

  constructor(
    readonly kernel: Kernel,
    private readonly options: TwinOptions = {},
  ) {
    this.engine = new WatchedEngine({ shared: options.shared ?? false }, (...told) => {
      this.engineEvents.push(describeEvent(eventOf(...told, 0)));
    });
    this.inside = insideEngine(this.engine);
    const keep = (bytes: Uint8Array, start: number, end: number): SendResult => {
      this.sent.push(Buffer.from(bytes.subarray(start, end)));
      return Sent.Sent;
    };
    this.path = new PacketPath(this.engine, { sendIpv4: keep, sendIpv6: keep }, LARGEST_MTU);
    this.comparison = new RecordComparison(kernel);
    this.ring = kernel.ring((record) => {
      if (record.readUInt8(LAYOUT.event.kind) === EventKind.Miss) return;
      this.kernelEvents.push(this.eventText(record));
      this.lastEvent = Buffer.from(record);
    });
  }

  /** Ends the run: the kernel forgets all, and nothing may be left. */
  end(): void {
    const live = [...this.inside.index.connections()].filter((x) => x.flow === undefined).length;
    const unpaired = this.kernel.unpairedCount();
    const left = this.kernel.reset();
    this.ring.consume();
    if (unpaired !== live) this.fail([`unpaired: kernel ${unpaired}, engine ${live}`]);
    if (left) this.fail([left]);
  }

  // ---- what a SimEngine has

  get outbox(): Outbox {
    return this.inside.stepper.outbox;
  }

  get busy(): boolean {
    return this.engine.busy || this.wanted !== undefined;
  }

  flow(id: string): Flow | undefined {
    return this.engine.flow(id);
  }

  own(ports: OwnedPorts): void {
    this.engine.own(ports);
    this.kernel.own(ports);
  }

  receive(tuple: Tuple, segment: TcpSegment, now: number): Verdict {
    return this.receiveFrame(frameOf(tuple, segment), Math.floor(now)) ?? Verdict.Host;
  }

  pair(id: string, outer: ConnectionEndpoints, inner: ConnectionEndpoints, time: number): void {
    const now = Math.floor(time);
    this.note(() => `pair at ${now}`);
    this.sent = [];
    const engine = this.attempt(() => this.engine.pair(id, outer, inner, now));
    if (engine instanceof FlowRequestError && engine.code === 'SUT_FLOW_EXISTS') {
      // Names are the process's.
      this.settle([]);
      return;
    }
    this.forgetDue(true);
    const { reply } = this.kernel.ask(
      {
        ask: this.kernel.number('ASK_PAIR'),
        outer: tupleOf(outer.remote, outer.local),
        inner: tupleOf(inner.remote, inner.local),
      },
      now,
    );
    this.sameAnswer(engine, reply);
    if (engine instanceof FlowRequestError) {
      this.settle([]);
      return;
    }
    // A connection that was unpaired is known by now under its slot.
    this.watched.set(engine.outer, { slot: reply.slot, generation: reply.generation });
    this.watched.set(engine.inner, { slot: reply.slot, generation: reply.generation });
    this.settle([]);
  }

  /** Both let go of a stitched flow, and go on with what was saved of it. False where there is nothing to save. */
  restart(id: string, time: number): boolean {
    const now = Math.floor(time);
    const flow = this.engine.flow(id);
    const saved = flow && saveFlow(flow);
    if (!flow || !saved || !isRestorable(flow.state)) return false;
    this.note(() => `restart at ${now}`);
    const { state, outer, inner, teardown } = flow;
    // The record has one time for each state, the latest.
    const history = flow.history.filter(
      (step, i) => flow.history.findLastIndex((other) => other.state === step.state) === i,
    );
    const past = { state, history, up: { ...outer.far }, down: { ...inner.far } };
    const ends = { outer: endsOf(outer), inner: endsOf(inner) };
    this.drop(id);
    this.restore(id, ends, saved, past, now, teardown);
    return true;
  }

  drop(id: string): void {
    this.engine.drop(id);
    this.forgetDue(true);
  }

  restore(
    id: string,
    ends: { readonly outer: ConnectionEndpoints; readonly inner: ConnectionEndpoints },
    saved: SavedFlow,
    past: Past,
    time: number,
    teardown: TeardownMode = 'core',
  ): void {
    const now = Math.floor(time);
    this.note(() => `restore at ${now}`);
    const restored = this.engine.restore(id, ends, saved, past, now, teardown);
    const restorer = new Restorer({
      map: (name) => this.kernel.maps[name],
      forget: ({ slot, generation }) => void this.ask({ slot, generation }, 'ASK_FORGET', now),
    });
    const place = restorer.restore({ id, ...ends, saved, past, teardown }, now, 0);
    if (!place) this.fail(['the kernel has no room for a restored flow']);
    else for (const x of [restored.outer, restored.inner]) this.watched.set(x, place);
    this.sent = [];
    this.inside.stepper.clear();
    this.settle([]);
  }

  /** Both follow a leader from now on, or lead. */
  follow(following: Following | undefined, time: number): void {
    const began = following !== undefined && this.following === undefined;
    this.following = following;
    this.note(() => (following ? 'follow' : 'lead'));
    this.engine.follow(following, Math.floor(time));
    this.kernel.follow(following?.shells, following?.knowsLeader);
    if (began) {
      for (const { outer } of this.engine.flows()) {
        this.ask(this.placeOf(outer), 'ASK_UNLEARN', Math.floor(time));
      }
    }
    this.sent = [];
    this.inside.stepper.clear();
    this.settle([]);
  }

  private following: Following | undefined;

  /** Given to both as soon as the flow is relayed. */
  enable(id: string, offsets: StitchOffsets, time: number, teardown: TeardownMode = 'core'): void {
    const now = Math.floor(time);
    if (this.engine.flow(id)?.state === 'watched') {
      this.wanted = { id, offsets, teardown };
      this.sent = [];
      const { reply } = this.askFor(id, 'ASK_ENABLE', now, { offsets, teardown });
      if (reply.answer !== this.kernel.number('ANSWER_DONE') || reply.state !== 0) {
        this.fail([`enable while watched: ${JSON.stringify(reply)}`]);
      }
      this.settle([]);
      this.inside.stepper.clear();
      return;
    }
    this.note(() => `enable ${JSON.stringify(offsets)} at ${now}`);
    const engine = this.attempt(() => this.engine.enable(id, offsets, now, teardown));
    this.sameRequest(id, engine, 'ASK_ENABLE', now, { offsets, teardown });
  }

  proceed(id: string, from: FlowSide, time: number): void {
    const now = Math.floor(time);
    this.note(() => `proceed ${from} at ${now}`);
    const engine = this.attempt(() => this.engine.proceed(id, from, now));
    this.sameRequest(id, engine, 'ASK_PROCEED', now, { from });
  }

  close(id: string, time: number): void {
    const now = Math.floor(time);
    this.note(() => `close at ${now}`);
    const engine = this.attempt(() => this.engine.close(id, now));
    this.sameRequest(id, engine, 'ASK_CLOSE', now);
  }

  tick(time: number): void {
    const now = Math.floor(time);
    if (this.wanted && this.engine.flow(this.wanted.id)?.state !== 'watched') {
      const { id, offsets, teardown } = this.wanted;
      this.wanted = undefined;
      if (this.engine.flow(id)?.state === 'relayed') {
        this.enable(id, offsets, now, teardown);
        return;
      }
    }
    this.note(() => `tick at ${now}`);
    const { moving, holding, closing } = this.inside.stepper;
    const ticked = this.following ? [] : [...new Set([...moving, ...holding.flows, ...closing])];
    this.engine.tick(now);
    this.sent = [];
    this.path.sendMade();
    const packets: Buffer[] = [];
    for (const flow of ticked) {
      const { reply, packets: sent } = this.ask(this.placeOf(flow.outer), 'ASK_TICK', now);
      packets.push(...sent);
      this.sameDue(flow, reply, now);
    }
    this.endForgotten(now);
    this.settle(packets);
  }

  // ---- what tests of single packets use

  /** Gives a frame to both; undefined where it never came to the engine. */
  receiveFrame(frame: Buffer, now: number): Verdict | undefined {
    this.note(() => `${describePacket(frame.subarray(14))} at ${now}`);
    this.inside.stepper.clear();
    this.engine.verdict = undefined;
    this.sent = [];
    // The path overwrites the frame that it is given.
    const { icmpTranslated } = this.path.counters;
    this.path.receive(Buffer.from(frame), frame.length, false, now);
    const { verdict } = this.engine;
    const ran = this.kernel.receive(frame, now);
    this.lastPackets = ran.packets;
    this.wasPartial = ran.packets.length > 0 && ran.packets.every(isPartial);
    if (verdict === Verdict.Steer) this.sent = [steered(frame)];
    const emits =
      verdict === Verdict.Steer ||
      verdict === Verdict.Emit ||
      this.path.counters.icmpTranslated > icmpTranslated;
    if (ran.retval !== (emits ? TC_ACT_SHOT : TC_ACT_UNSPEC)) {
      this.fail([`verdict: kernel ${ran.retval}, engine ${verdict}`]);
    }
    if (!emits) this.sent = [];
    this.settle(ran.packets);
    return verdict;
  }

  private attempt<T>(request: () => T): T | FlowRequestError {
    try {
      return request();
    } catch (error) {
      if (error instanceof FlowRequestError) return error;
      throw error;
    }
  }

  private sameRequest(
    id: string,
    engine: Flow | FlowRequestError,
    ask: 'ASK_ENABLE' | 'ASK_CLOSE' | 'ASK_PROCEED',
    now: number,
    more?: More,
  ): void {
    this.sent = [];
    this.path.sendMade();
    if (engine instanceof FlowRequestError && engine.code === 'SUT_FLOW_UNKNOWN') {
      this.settle([]);
      return;
    }
    const { reply, packets } = this.askFor(id, ask, now, more, engine);
    this.sameAnswer(engine, reply);
    if (!(engine instanceof FlowRequestError) && FLOW_STATES[reply.state] !== engine.state) {
      this.fail([`answered state: kernel ${FLOW_STATES[reply.state]}, engine ${engine.state}`]);
    }
    this.settle(packets);
  }

  /** When the process is to tick next, of flows that hold something. */
  private sameDue(flow: Flow, { due }: Reply, now: number): void {
    const quiet = this.options.shared ? (quietAt(flow) ?? 0) : 0;
    const times = [flow.deadline, flow.resendAt, quiet].filter((at) => at > 0);
    const over = flow.mode !== Mode.Direct || flow.state === 'closed' || times.length === 0;
    const expected = over ? 0 : Math.max(1, Math.min(...times) - now);
    if (due !== expected) this.fail([`due: kernel ${due}, engine ${expected}`]);
  }

  private sameAnswer(engine: Flow | FlowRequestError, { answer }: Reply): void {
    const names: Record<string, readonly string[]> = {
      SUT_CONFLICT: ['ANSWER_OUTER_TAKEN', 'ANSWER_INNER_TAKEN'],
      SUT_FLOW_STATE: ['ANSWER_STATE'],
    };
    const expected = engine instanceof FlowRequestError ? names[engine.code] : ['ANSWER_DONE'];
    if (expected?.some((name) => this.kernel.number(name) === answer)) return;
    this.fail([
      `answer: kernel ${answer}, engine ${engine instanceof FlowRequestError ? engine.code : 'done'}`,
    ]);
  }

  private askFor(
    id: string,
    ask: string,
    now: number,
    more?: More,
    known: Flow | FlowRequestError | undefined = this.engine.flow(id),
  ): ReturnType<Kernel['ask']> {
    const flow = known instanceof FlowRequestError ? this.engine.flow(id) : known;
    if (!flow) throw new Error(`no flow ${id}`);
    return this.ask(this.placeOf(flow.outer), ask, now, more);
  }

  private ask(place: Watched, ask: string, now: number, more: More = {}): ReturnType<Kernel['ask']> {
    const { slot, generation } = place;
    const { offsets: o, teardown, from } = more;
    return this.kernel.ask(
      {
        ask: this.kernel.number(ask),
        slot,
        generation,
        ...(o && {
          consumed: [o.consumedFromPeer, o.consumedFromCore] as const,
          injected: [o.injectedToPeer, o.injectedToCore] as const,
        }),
        ...(teardown && { teardown: TEARDOWN_MODES.indexOf(teardown) }),
        ...(from && { from: this.kernel.number(from === 'peer' ? 'FROM_PEER' : 'FROM_CORE') }),
      },
      now,
    );
  }

  private placeOf(x: Connection): Watched {
    const known = this.watched.get(x);
    if (known) return known;
    const slot = this.kernel.placeOf(x.toShell)?.slot;
    if (slot === undefined) this.fail(['the kernel has no record of a connection that the engine knows']);
    const found = { slot: slot as number, generation: this.kernel.generationOf(slot as number) };
    this.watched.set(x, found);
    return found;
  }

  // ---- what is compared after each step

  private settle(packets: Buffer[]): void {
    const differ: string[] = [];
    this.ring.consume();
    this.comparePackets(differ, packets);
    this.compareEvents(differ);
    this.compareRecords(differ);
    if (differ.length > 0) this.fail(differ);
    this.forgetDue();
  }

  private comparePackets(differ: string[], packets: Buffer[]): void {
    const engine = this.sent.map((packet) => packet.toString('latin1')).sort();
    const kernel = packets.map((packet) => wholeChecksum(packet).toString('latin1')).sort();
    this.compared += engine.length;
    if (engine.length === kernel.length && engine.every((bytes, i) => bytes === kernel[i])) return;
    const list = (name: string, all: string[]): string =>
      `${name}:\n${all.map((bytes) => `    ${describePacket(Buffer.from(bytes, 'latin1'))}`).join('\n')}`;
    differ.push(list('engine sent', engine), list('kernel sent', kernel));
  }

  private compareEvents(differ: string[]): void {
    const engine = this.engineEvents.splice(0).join(', ');
    const kernel = this.kernelEvents.splice(0).join(', ');
    if (engine !== kernel) differ.push(`events: kernel ${kernel || 'none'}; engine ${engine || 'none'}`);
    if (this.lastEvent) differ.push(...this.comparison.event(this.lastEvent));
    this.lastEvent = undefined;
  }

  private compareRecords(differ: string[]): void {
    const seen = new Set<Flow>();
    for (const x of this.inside.index.connections()) {
      if (x.flow && seen.has(x.flow)) continue;
      const { slot } = this.placeOf(x);
      const record = this.kernel.recordOf(slot);
      if (x.flow) {
        seen.add(x.flow);
        differ.push(...this.comparison.flow(record, x.flow));
      } else {
        differ.push(...this.comparison.unpaired(record, x));
      }
    }
  }

  /** The engine gave up flows that were quiet for too long; the process tells the kernel so. */
  private endForgotten(now: number): void {
    for (const [x, place] of this.watched) {
      if (this.isKnown(x) || !x.flow || x !== x.flow.outer) continue;
      const { offset, size } = this.kernel.field('flow', 'state');
      const state = FLOW_STATES[readField(this.kernel.recordOf(place.slot), offset, size)];
      const over = state === 'closed' || state === 'broken';
      if (!over && x.flow.reason !== undefined) this.ask(place, 'ASK_IDLE', now);
    }
  }

  private isKnown(x: Connection): boolean {
    return this.inside.index.find(x.toShell)?.connection === x;
  }

  /** Tells the kernel to forget what the engine has forgotten. */
  private forgetDue(all = false): void {
    for (const [x, place] of this.watched) {
      if (this.isKnown(x)) continue;
      if (x.flow === undefined) {
        this.watched.delete(x);
        this.askToForget(place);
        continue;
      }
      const relayed = x.flow.mode <= Mode.Clamp;
      place.forgetIn ??= relayed ? (this.options.forgetAfter ?? 0) : 0;
      if (!all && place.forgetIn-- > 0) continue;
      this.watched.delete(x);
      if (x === x.flow.outer) this.askToForget(place);
    }
  }

  private askToForget(place: Watched): void {
    this.ask(place, 'ASK_FORGET', 0);
    this.ring.consume();
    this.kernelEvents.length = 0;
    this.lastEvent = undefined;
  }

  private eventText(record: Buffer): string {
    const told = readEvent(record, 0);
    return told ? describeEvent(told.event) : 'forgotten';
  }

  private note(step: () => string): void {
    this.steps.push(step);
    if (this.steps.length > REMEMBERED_STEPS) this.steps.shift();
  }

  private fail(differ: readonly string[]): never {
    const steps = this.steps.map((step) => `  ${step()}`).join('\n');
    throw new Difference(`${differ.join('\n')}\nafter\n${steps}`);
  }
}

/** The packet as a router hands it on. */
function steered(frame: Buffer): Buffer {
  const view = new FrameView();
  const bytes = Buffer.from(frame);
  view.parse(bytes, bytes.length);
  decrementTtl(view);
  return wholeChecksum(Buffer.from(bytes.subarray(view.l3, view.end)));
}

function describeEvent({ kind, flow, from, held, segment }: FlowEvent): string {
  const facts = segment ? ` ${Object.values(segment).join('/')}` : '';
  return `${kind} ${flow.state}${from ? ` ${from}` : ''}${held ? ' held' : ''}${facts}`;
}
