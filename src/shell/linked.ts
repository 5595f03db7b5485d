/**
 * A connection of a `via: link` route before it has an inner connection, and its move to one.
 *
 * What always holds: the shell decides on the move, whoever asked for it. Until it has said on the link from
 * which byte on the inner connection is used, nothing of the stream goes there, and a move that fails leaves
 * everything as it was; after that both ends go through with it.
 */
import type { Socket } from 'node:net';
import type { ConnectionEndpoints, StitchOffsets } from '../flow/endpoints.js';
import { type ControlType, FrameType, linkFault } from '../midcom/link/codec.js';
import { LinkedRelay } from '../midcom/link/linked-relay.js';
import { drawToken, PREFIX_BYTES, prefixOf } from '../midcom/link/token.js';
import { asSutureError, SutureError } from '../platform/errors.js';
import { inTime } from '../platform/in-time.js';
import { Relay } from '../platform/relay.js';
import { resetSocket } from '../platform/sockets.js';
import { type Arrival, NO_BYTES } from './arrival.js';
import type { ShellContext } from './context.js';
import type { HeldFlow } from './flows.js';
import { type Opened, reach } from './opening.js';
import { type Decision, Judge, minuteOfDay } from './policy.js';
import type { FixedRoute, LinkRoute } from './routes.js';
import type { Candidate } from './stitcher.js';

const MOVE_ATTEMPTS = 5;
const MOVE_RETRY_MS = 1_000;
/** Signal, no answer: it could be waiting behind data that the peer does not read. */
const ANSWER_MS = 10_000;

export interface LinkedOptions {
  readonly accepted: Socket;
  readonly arrival: Arrival;
  readonly route: FixedRoute;
  readonly via: LinkRoute;
  readonly first: ConnectionEndpoints | undefined;
  /** What the core is told first. */
  readonly prefix: Buffer;
  readonly acceptedAt: number;
  readonly context: ShellContext;
  readonly signal: AbortSignal;
}

/** A connection that is leaving its link: both relays have a direction each until `settled`. */
export interface Departure {
  readonly relay: Relay;
  readonly flow: HeldFlow | undefined;
  /** Both directions have left; what the stitch has to know. Undefined: it ended before that. */
  readonly settled: Promise<StitchOffsets | undefined>;
}

export class LinkedPhase implements Candidate {
  readonly needsPackets = false;
  readonly #options: LinkedOptions;
  readonly #judge: Judge;
  #linked: LinkedRelay | undefined;
  #asked = false;
  #moving = false;
  #attempts = 0;
  #notBefore = 0;
  /** What the core says of the move that is under way. */
  #awaited: { readonly token: Buffer; readonly answer: (type: ControlType) => void } | undefined;
  #onFarLeft: (() => void) | undefined;
  #depart: (departure: Departure) => void = () => {};

  constructor(options: LinkedOptions) {
    this.#options = options;
    this.#judge = new Judge(options.via.move);
  }

  /** Bytes of the connection that the link carried. */
  get bytesUp(): number {
    return Math.max(0, (this.#linked?.sent ?? 0) - this.#options.prefix.length);
  }

  get bytesDown(): number {
    return this.#linked?.received ?? 0;
  }

  /** Until the connection is over, or leaves. Rejects when there is no stream for it. */
  async run(): Promise<Departure | undefined> {
    const { accepted, arrival, context, first, prefix, route, signal, via } = this.#options;
    const { bufferBytes, connectTimeoutMs: timeoutMs, counters, limited, links, log, stitcher } = context;
    const request = { to: route.target.to, peer: first?.remote, timeoutMs, signal };
    const frames = await links.open(via.to, request).catch((error: unknown) => {
      counters.linkFailed += 1;
      const { code, message } = asSutureError(error);
      limited.warn(`link ${code}`, { code, cause: message }, 'no stream on the link');
      throw error;
    });
    counters.linked += 1;
    counters.relayed += 1;
    const linked = new LinkedRelay(accepted, frames, {
      bufferBytes,
      onControl: (type, payload) => this.#onControl(type, payload),
      onFarLeft: () => {
        if (!this.#onFarLeft) throw linkFault('a position to leave at before this end had');
        this.#onFarLeft();
      },
    });
    this.#linked = linked;
    const departing = new Promise<Departure>((resolve) => {
      this.#depart = resolve;
    });
    linked.start(
      prefix.length + arrival.early.length > 0 ? Buffer.concat([prefix, arrival.early]) : NO_BYTES,
    );
    if (this.#asked) void this.#move();
    else stitcher.wait(this);
    try {
      const left = await Promise.race([departing, linked.closed]);
      if ('relay' in left) return left;
      log.debug({ ...left, up: this.bytesUp, down: this.bytesDown }, 'ended on its link');
      return undefined;
    } finally {
      stitcher.forget(this);
    }
  }

  /** By a core or the switch, who need no policy for it. */
  ask(): void {
    if (this.#moving) return;
    this.#options.context.counters.moveAsked += 1;
    // Without a stream yet: as soon as there is one.
    if (this.#linked) void this.#move();
    else this.#asked = true;
  }

  reset(): void {
    this.#linked?.reset();
  }

  decide(now: number, shellLoad: number): Decision {
    const { acceptedAt, arrival, context } = this.#options;
    if (this.#moving || !this.#linked?.open) return 'never';
    if (now < this.#notBefore) return 'wait';
    return this.#judge.decide({
      bytes: this.bytesUp + this.bytesDown,
      age: now - acceptedAt,
      packets: 0,
      shellLoad,
      timeOfDay: minuteOfDay(context.clock.wall()),
      type: arrival.type,
      name: arrival.name,
    });
  }

  stitch(): void {
    void this.#move();
  }

  /** Never rejects. */
  async #move(): Promise<void> {
    const { clock, counters, limited, stitcher } = this.#options.context;
    const linked = this.#linked;
    if (!linked?.open || this.#moving) return;
    this.#moving = true;
    this.#attempts += 1;
    const token = drawToken();
    let opened: Opened | undefined;
    try {
      opened = await this.#openInner(linked, token);
      this.#commit(linked, opened);
    } catch (error) {
      if (opened) this.#release(opened);
      linked.send(FrameType.Abandon, token);
      if (this.#options.signal.aborted || !linked.open) return;
      counters.moveFailed += 1;
      const { code, message } = asSutureError(error);
      limited.warn(`move ${code}`, { code, cause: message }, 'a connection stays on its link');
      this.#moving = false;
      this.#notBefore = clock.monotonic() + MOVE_RETRY_MS;
      if (this.#attempts < MOVE_ATTEMPTS) stitcher.wait(this);
    }
  }

  /** An inner connection that the core has joined with this stream. */
  async #openInner(linked: LinkedRelay, token: Buffer): Promise<Opened> {
    const { context, first, route, signal } = this.#options;
    const prepared = this.#expect(FrameType.Prepared, token);
    linked.send(FrameType.Prepare, token);
    await prepared;
    const opened = await reach({ targets: [route.target], first, openedBy: 'peer', signal }, context);
    try {
      const attached = this.#expect(FrameType.Attached, token);
      opened.socket.write(prefixOf(token));
      await attached;
      return opened;
    } catch (error) {
      this.#release(opened);
      throw error;
    }
  }

  /** From here on there is no way back. */
  #commit(linked: LinkedRelay, { socket, flow }: Opened): void {
    const { accepted, context } = this.#options;
    if (!linked.open || socket.destroyed) {
      throw new SutureError('SUT_LINK', 'the connection, or the inner one, ended before the move was made');
    }
    context.counters.moved += 1;
    const relay = new Relay(accepted, socket, {
      bufferBytes: context.bufferBytes,
      opened: 'inner',
      early: NO_BYTES,
    });
    relay.watch();
    const settled = new Promise<StitchOffsets | undefined>((resolve) => {
      this.#onFarLeft = () => {
        relay.startDown();
        resolve(this.#offsets(linked));
      };
      void linked.closed.then(({ moved }) => {
        if (!moved) resolve(undefined);
      });
    });
    linked.leave();
    relay.startUp();
    this.#depart({ relay, flow, settled });
  }

  /** Seen from the inner connection, what the link carried was taken from one end and given to the other. */
  #offsets(linked: LinkedRelay): StitchOffsets {
    return {
      consumedFromPeer: this.bytesUp + this.#options.arrival.consumed,
      injectedToCore: PREFIX_BYTES,
      consumedFromCore: 0,
      injectedToPeer: linked.received + this.#options.arrival.written,
    };
  }

  #release({ socket, flow }: Opened): void {
    resetSocket(socket);
    if (flow && !flow.socketsClosed) this.#options.context.book.socketsClosed(flow, { timeWait: false });
  }

  #onControl(type: ControlType, payload: Buffer): void {
    if (type === FrameType.Ask) {
      this.ask();
      return;
    }
    if (type !== FrameType.Prepared && type !== FrameType.Refused && type !== FrameType.Attached) {
      throw linkFault(`a frame of type ${type}, which is not for a shell`);
    }
    // An answer to a move that was given up is late, and no more.
    if (this.#awaited?.token.equals(payload)) this.#awaited.answer(type);
  }

  /** The core's next answer; rejects when it is another one, or none in time. */
  async #expect(wanted: ControlType, token: Buffer): Promise<void> {
    const { clock } = this.#options.context;
    const answered = new Promise<ControlType>((resolve) => {
      this.#awaited = { token, answer: resolve };
    });
    const closed = this.#linked?.closed.then(() => undefined) ?? Promise.resolve(undefined);
    const type = await inTime(clock, ANSWER_MS, Promise.race([answered, closed]));
    this.#awaited = undefined;
    if (type === wanted) return;
    if (type === undefined) throw new SutureError('SUT_TIMEOUT', 'the core did not answer on the link');
    throw new SutureError('SUT_LINK', 'the core refused the move');
  }
}
