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

import { Restorer } from '../../../src/dataplane/kernel/restorer.js';
import type { FlowSide } from '../../../src/dataplane/port.js';
import { eventOf } from '../../../src/dataplane/snapshot.js';
import { PacketPath } from '../../../src/dataplane/userspace/packet-path.js';
import { type SendResult, SendResult as Sent } from '../../../src/dataplane/userspace/sender.js';
import type { Following } from '../../../src/flow/carry.js';
import type { Connection } from '../../../src/flow/connection.js';
import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from '../../../src/flow/endpoints.js';
import { Verdict } from '../../../src/flow/engine.js';
import { FlowRequestError } from '../../../src/flow/errors.js';
import type { Flow } from '../../../src/flow/flow.js';
import type { Outbox } from '../../../src/flow/outbox.js';
import { isRestorable, type Past, type SavedFlow, saveFlow } from '../../../src/flow/restore.js';
import { FLOW_STATES, type TeardownMode } from '../../../src/flow/state.js';
import { destinationOf, sourceOf, tupleOf } from '../../../src/wire/endpoint.js';
import { FrameView } from '../../../src/wire/frame.js';
import { decrementTtl } from '../../../src/wire/rewrite.js';
import type { TcpSegment } from '../../../src/wire/segment.js';
import type { Tuple } from '../../../src/wire/tuple.js';
import { describePacket, frameOf, isPartial, wholeChecksum } from './frames.js';
import { insideEngine } from './inside.js';
import { type Kernel, TC_ACT_SHOT, TC_ACT_UNSPEC } from './kernel.js';
import { Outcome } from './twin-outcome.js';
import { Places } from './twin-places.js';
import { answerDiffers, askAbout, dueDiffers, type More } from './twin-requests.js';
import { Steps } from './twin-steps.js';
import { WatchedEngine } from './watched-engine.js';

/** Nothing is split: the kernel leaves that to the interface. */
const LARGEST_MTU = 65_535;

function endsOf(x: Connection): ConnectionEndpoints {
  return { local: destinationOf(x.toShell), remote: sourceOf(x.toShell) };
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
  private readonly steps = new Steps();
  private readonly outcome: Outcome;
  private readonly places: Places;
  private wanted:
    | { readonly id: string; readonly offsets: StitchOffsets; readonly teardown: TeardownMode }
    | undefined;
  /** What the kernel sent last, of a packet that it was given. */
  lastPackets: readonly Buffer[] = [];
  /** All that the kernel sent last has a checksum that is left to the interface. */
  wasPartial = false;

  constructor(
    readonly kernel: Kernel,
    private readonly options: TwinOptions = {},
  ) {
    this.engine = new WatchedEngine({ shared: options.shared ?? false }, (...told) => {
      this.outcome.engineTold(eventOf(...told, 0));
    });
    this.inside = insideEngine(this.engine);
    const keep = (bytes: Uint8Array, start: number, end: number): SendResult => {
      this.sent.push(Buffer.from(bytes.subarray(start, end)));
      return Sent.Sent;
    };
    this.path = new PacketPath(this.engine, { sendIpv4: keep, sendIpv6: keep }, LARGEST_MTU);
    const { index } = this.inside;
    const outcome = new Outcome(kernel, index);
    this.outcome = outcome;
    this.places = new Places(kernel, index, this.steps, options.forgetAfter ?? 0, () => outcome.ignore());
  }

  /** Packets that both sent; the test's proof that something was compared. */
  get compared(): number {
    return this.outcome.compared;
  }

  /** Ends the run: the kernel forgets all, and nothing may be left. */
  end(): void {
    const live = [...this.inside.index.connections()].filter((x) => x.flow === undefined).length;
    const unpaired = this.kernel.unpairedCount();
    const left = this.kernel.reset();
    this.outcome.listen();
    if (unpaired !== live) this.steps.fail([`unpaired: kernel ${unpaired}, engine ${live}`]);
    if (left) this.steps.fail([left]);
  }

  // ---- what a SimEngine has

  get outbox(): Outbox {
    return this.inside.out;
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
    this.steps.note(() => `pair at ${now}`);
    this.sent = [];
    const engine = this.attempt(() => this.engine.pair(id, outer, inner, now));
    if (engine instanceof FlowRequestError && engine.code === 'SUT_FLOW_EXISTS') {
      // Names are the process's.
      this.settle([]);
      return;
    }
    this.places.forgetDue(true);
    const { reply } = this.kernel.ask(
      {
        ask: this.kernel.number('ASK_PAIR'),
        outer: tupleOf(outer.remote, outer.local),
        inner: tupleOf(inner.remote, inner.local),
      },
      now,
    );
    this.same(answerDiffers(this.kernel, engine, reply));
    if (engine instanceof FlowRequestError) {
      this.settle([]);
      return;
    }
    // A connection that was unpaired is known by now under its slot.
    this.places.set([engine.outer, engine.inner], reply);
    this.settle([]);
  }

  /** Both let go of a stitched flow, and go on with what was saved of it. False where there is nothing to save. */
  restart(id: string, time: number): boolean {
    const now = Math.floor(time);
    const flow = this.engine.flow(id);
    const saved = flow && saveFlow(flow);
    if (!flow || !saved || !isRestorable(flow.state)) return false;
    this.steps.note(() => `restart at ${now}`);
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
    this.places.forgetDue(true);
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
    this.steps.note(() => `restore at ${now}`);
    const restored = this.engine.restore(id, ends, saved, past, now, teardown);
    const restorer = new Restorer({
      map: (name) => this.kernel.maps[name],
      forget: ({ slot, generation }) => void askAbout(this.kernel, { slot, generation }, 'ASK_FORGET', now),
    });
    const place = restorer.restore({ id, ...ends, saved, past, teardown }, now, 0);
    if (!place) this.steps.fail(['the kernel has no room for a restored flow']);
    else this.places.set([restored.outer, restored.inner], place);
    this.sent = [];
    this.inside.stepper.clear();
    this.settle([]);
  }

  /** Both follow a leader from now on, or lead. */
  follow(following: Following | undefined, time: number): void {
    const began = following !== undefined && this.following === undefined;
    this.following = following;
    this.steps.note(() => (following ? 'follow' : 'lead'));
    this.engine.follow(following, Math.floor(time));
    this.kernel.follow(following?.shells, following?.knowsLeader);
    if (began) {
      for (const { outer } of this.engine.flows()) {
        askAbout(this.kernel, this.places.of(outer), 'ASK_UNLEARN', Math.floor(time));
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
        this.steps.fail([`enable while watched: ${JSON.stringify(reply)}`]);
      }
      this.settle([]);
      this.inside.stepper.clear();
      return;
    }
    this.steps.note(() => `enable ${JSON.stringify(offsets)} at ${now}`);
    const engine = this.attempt(() => this.engine.enable(id, offsets, now, teardown));
    this.sameRequest(id, engine, 'ASK_ENABLE', now, { offsets, teardown });
  }

  proceed(id: string, from: FlowSide, time: number): void {
    const now = Math.floor(time);
    this.steps.note(() => `proceed ${from} at ${now}`);
    const engine = this.attempt(() => this.engine.proceed(id, from, now));
    this.sameRequest(id, engine, 'ASK_PROCEED', now, { from });
  }

  close(id: string, time: number): void {
    const now = Math.floor(time);
    this.steps.note(() => `close at ${now}`);
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
    this.steps.note(() => `tick at ${now}`);
    const { moving, holding, closing } = this.inside.progress;
    const ticked = this.following ? [] : [...new Set([...moving, ...holding.flows, ...closing])];
    this.engine.tick(now);
    this.sent = [];
    this.path.sendMade();
    const packets: Buffer[] = [];
    for (const flow of ticked) {
      const { reply, packets: sent } = askAbout(this.kernel, this.places.of(flow.outer), 'ASK_TICK', now);
      packets.push(...sent);
      this.same(dueDiffers(flow, reply, now, this.options.shared ?? false));
    }
    this.places.endForgotten(now);
    this.settle(packets);
  }

  // ---- what tests of single packets use

  /** Gives a frame to both; undefined where it never came to the engine. */
  receiveFrame(frame: Buffer, now: number): Verdict | undefined {
    this.steps.note(() => `${describePacket(frame.subarray(14))} at ${now}`);
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
      this.steps.fail([`verdict: kernel ${ran.retval}, engine ${verdict}`]);
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
    this.same(answerDiffers(this.kernel, engine, reply));
    if (!(engine instanceof FlowRequestError) && FLOW_STATES[reply.state] !== engine.state) {
      this.steps.fail([`answered state: kernel ${FLOW_STATES[reply.state]}, engine ${engine.state}`]);
    }
    this.settle(packets);
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
    return askAbout(this.kernel, this.places.of(flow.outer), ask, now, more);
  }

  // ---- what is compared after each step

  private same(differ: readonly string[]): void {
    if (differ.length > 0) this.steps.fail(differ);
  }

  private settle(packets: Buffer[]): void {
    this.same(this.outcome.differences(this.sent, packets, this.places));
    this.places.forgetDue();
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
