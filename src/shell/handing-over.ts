/**
 * A relayed connection on its way to the stitch: waits until its route's policy says so, asks the switch, and lets go of
 * the sockets once the switch carries the connection.
 *
 * What always holds: the relay is given up once at most, when the flow was stitched, or when it ended after its cut; until
 * then the connection is relayed, whatever the switch says or does not say.
 */
import type { StitchOffsets } from '../flow/endpoints.js';
import { asSutureError, type ErrorCode } from '../platform/errors.js';
import type { Relay } from '../platform/relay.js';
import type { Arrival } from './arrival.js';
import type { ShellContext } from './context.js';
import type { HeldFlow } from './flows.js';
import { type Decision, Judge, minuteOfDay, needsPackets } from './policy.js';
import type { Candidate } from './stitcher.js';

const ENABLE_ATTEMPTS = 5;
const ENABLE_RETRY_MS = 1_000;
/** The switch says within a packet or two that it has seen both handshakes; then it is asked all the same. */
const ESTABLISH_MS = 1_000;

/** After these the same request may succeed later. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'SUT_TIMEOUT',
  'SUT_SESSION_STATE',
  'SUT_LIMIT',
  'SUT_TABLE_UNAVAILABLE',
]);

export const NO_OFFSETS: StitchOffsets = {
  consumedFromPeer: 0,
  injectedToCore: 0,
  consumedFromCore: 0,
  injectedToPeer: 0,
};

/** Where a relay stood when it began to copy byte for byte. */
export interface RelayStart {
  readonly offsets: StitchOffsets;
  /** What a link had carried, both ways together. */
  readonly bytesBefore: number;
}

export interface HandingOverParts {
  readonly flow: HeldFlow;
  readonly relay: Relay;
  readonly arrival: Arrival;
  readonly acceptedAt: number;
  readonly context: ShellContext;
}

export class HandingOver implements Candidate {
  readonly needsPackets: boolean;
  readonly #parts: HandingOverParts;
  readonly #judge: Judge;
  readonly #relayedSince: number;
  #start: RelayStart = { offsets: NO_OFFSETS, bytesBefore: 0 };
  #attempts = 0;
  #notBefore = 0;
  /** The relay was given up, to the switch or with a broken flow. */
  #letGo = false;

  constructor(parts: HandingOverParts) {
    const { arrival, context, flow } = parts;
    this.#parts = parts;
    this.needsPackets = needsPackets(arrival.route.stitch);
    this.#judge = new Judge(arrival.route.stitch);
    this.#relayedSince = context.clock.monotonic();
    flow.onChange = () => this.#onChange();
    this.#onChange();
  }

  /** From now on it may be stitched. */
  begin(start: RelayStart): void {
    const { flow, context } = this.#parts;
    if (flow.socketsClosed) return;
    this.#start = start;
    context.stitcher.wait(this);
  }

  /** The relay has ended. */
  end(): void {
    this.#parts.context.stitcher.forget(this);
  }

  decide(now: number, shellLoad: number): Decision {
    const { acceptedAt, arrival, context, flow, relay } = this.#parts;
    const { snapshot, over, state } = flow;
    if (over || (state !== 'watched' && state !== 'relayed')) return 'never';
    if (now < this.#notBefore) return 'wait';
    if (state === 'watched' && now < this.#relayedSince + ESTABLISH_MS) return 'wait';
    return this.#judge.decide({
      bytes: this.#start.bytesBefore + relay.bytesUp + relay.bytesDown,
      age: now - acceptedAt,
      packets: snapshot.up.packets + snapshot.down.packets,
      shellLoad,
      timeOfDay: minuteOfDay(context.clock.wall()),
      type: arrival.type,
      name: arrival.name,
    });
  }

  stitch(): void {
    const { arrival, context, flow } = this.#parts;
    const { book, clock, counters, limited, stitcher } = context;
    this.#attempts += 1;
    counters.stitchAsked += 1;
    book
      .enable(flow, this.#start.offsets, arrival.route.teardown, this.#judge.cause)
      .catch((error: unknown) => {
        const { code, message } = asSutureError(error);
        limited.warn(`enable ${code}`, { flow: flow.id, code, cause: message }, 'not stitched');
        if (!PASSING.has(code) || this.#attempts >= ENABLE_ATTEMPTS || flow.socketsClosed) return;
        this.#notBefore = clock.monotonic() + ENABLE_RETRY_MS;
        stitcher.wait(this);
      });
  }

  /** The switch told something of this flow, or has lost it. */
  #onChange(): void {
    const { flow, relay, context } = this.#parts;
    const { counters, limited, log, stitcher } = context;
    const { id, state, reason } = flow;
    log.debug({ flow: id, state, reason }, 'flow');
    if (this.#letGo || flow.socketsClosed) return;
    if (flow.wasIn('stitched')) {
      counters.stitched += 1;
      this.#handOver();
    } else if (state === 'broken' || (flow.over && flow.wasCut)) {
      // Ended between cut and drain: bytes above the cut never came here, so the relay can't go on.
      counters.broken += 1;
      limited.warn('broken', { flow: id, state, reason }, 'flow ended in the middle of its handover; reset');
      this.#letGo = true;
      relay.reset();
    } else if (state === 'refused') {
      counters.refused += 1;
      limited.warn(`refused ${reason}`, { flow: id, reason }, 'stitch refused; relayed for good');
    } else if (state === 'relayed') {
      stitcher.reconsider(this);
    }
  }

  /**
   * The switch swallows the resets. All bytes below the cut have been acknowledged by the far ends, so
   * nothing can be left here.
   */
  #handOver(): void {
    const { flow, relay, context } = this.#parts;
    const { counters, log } = context;
    const { up, down } = relay.held;
    if (up + down > 0) {
      counters.heldAtStitch += 1;
      log.error({ flow: flow.id, up, down }, 'stitched with bytes still in the shell; they are lost');
    }
    this.#letGo = true;
    relay.reset();
  }
}
