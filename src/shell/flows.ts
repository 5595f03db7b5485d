/**
 * The shell's flows: what the switch said of each, and the reserved port that it holds.
 *
 * What always holds: a port is given back only when both sockets of the connection are closed and the switch
 * has no flow on it any more (closed, released, or gone with a restart). So v1 can not come back while the
 * switch still translates for it.
 */
import type { FlowSnapshot } from '../dataplane/port.js';
import type { ConnectionEndpoints, StitchOffsets } from '../flow/endpoints.js';
import type { FlowReason, FlowState } from '../flow/state.js';
import { answerTeardown, logEvent } from '../midcom/answer.js';
import type { AgentEvent, FlowEnd, SwitchClient, TeardownMode } from '../midcom/port.js';
import type { Clock } from '../platform/clock.js';
import { asSutureError, type ErrorCode, SutureError } from '../platform/errors.js';
import { inTime } from '../platform/in-time.js';
import type { Logger } from '../platform/log.js';
import { type Endpoint, formatEndpoint } from '../wire/endpoint.js';
import type { PortLease } from './ports.js';
import type { ShellCounters } from './stats.js';

/** A pair request holds back the second connection, so it must not take long. */
const PAIR_TIMEOUT_MS = 1_000;

const RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;

/** The switch has, or may have, a flow on the port: an older one, or the one just asked for. */
const UNCERTAIN: ReadonlySet<ErrorCode> = new Set([
  'SUT_FLOW_EXISTS',
  'SUT_CONFLICT',
  'SUT_TIMEOUT',
  'SUT_SESSION_STATE',
]);

export class HeldFlow {
  /** Set when the switch has no such flow any more. */
  over = false;
  socketsClosed = false;
  /** The port must rest: its last connection is in TIME-WAIT, or nobody knows what still arrives for it. */
  restPort = false;
  releasing = false;
  /** Called when the state has changed, and when the flow was lost. */
  onChange: (flow: HeldFlow) => void = () => {};

  constructor(
    public snapshot: FlowSnapshot,
    readonly lease: PortLease,
  ) {}

  get id(): string {
    return this.snapshot.id;
  }

  get state(): FlowState {
    return this.snapshot.state;
  }

  get reason(): FlowReason | undefined {
    return this.snapshot.reason;
  }

  /** The switch has made the cut: from then on the relay does not carry this connection alone. */
  get wasCut(): boolean {
    return this.wasIn('cutting') || this.wasIn('stitched');
  }

  wasIn(state: FlowState): boolean {
    return this.state === state || this.snapshot.history.some((step) => step.state === state);
  }
}

/** The connection that the shell accepted, and the one that it is about to open. */
export interface Couple {
  readonly first: ConnectionEndpoints;
  readonly second: ConnectionEndpoints;
  readonly openedBy: FlowEnd;
}

export interface FlowBookOptions {
  readonly client: SwitchClient;
  readonly log: Logger;
  readonly clock: Clock;
  readonly counters: ShellCounters;
  /** Takes ports of this shell's, by the ends of connections that have them; other ends mean nothing to it. */
  readonly claim?: ClaimPorts;
}

/** The leases of the ends that are on free ports of this shell's, by `address:port`. */
export type ClaimPorts = (ends: readonly Endpoint[]) => ReadonlyMap<string, PortLease>;

const NO_LEASE: PortLease = { port: 0, free: () => {}, rest: () => {} };

export class FlowBook {
  readonly #client: SwitchClient;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #counters: ShellCounters;
  readonly #flows = new Map<string, HeldFlow>();
  readonly #stopped = new AbortController();
  #refreshing = false;

  constructor({ client, log, clock, counters, claim = () => new Map() }: FlowBookOptions) {
    this.#client = client;
    this.#log = log;
    this.#clock = clock;
    this.#counters = counters;
    client.onEvent((event) => this.#take(event));
    client.onSession((change, left) => {
      this.#inherit(left, claim);
      if (change !== 'lost') void this.#reconcile(change === 'renewed');
    });
  }

  /** Ends what waits; what is held stays so until the process ends. */
  stop(): void {
    this.#stopped.abort();
  }

  /** True when no release is under way: what is left lives on without this shell. */
  get quiet(): boolean {
    return ![...this.#flows.values()].some((flow) => flow.releasing);
  }

  get size(): number {
    return this.#flows.size;
  }

  /** Takes the lease over. When it rejects, no flow is left behind and the lease is dealt with. */
  async pair({ first, second, openedBy }: Couple, lease: PortLease): Promise<HeldFlow> {
    const [outer, inner] = openedBy === 'peer' ? [first, second] : [second, first];
    const answer = this.#client.pair(outer, inner, openedBy);
    const snapshot = await inTime(this.#clock, PAIR_TIMEOUT_MS, answer).catch((error: unknown) => {
      // Where it is not certain that the switch has no flow on this port, the port rests.
      if (UNCERTAIN.has(asSutureError(error).code)) lease.rest();
      else lease.free();
      throw error;
    });
    if (!snapshot) {
      this.#dropLate(answer, lease);
      throw new SutureError('SUT_TIMEOUT', `the switch did not answer within ${PAIR_TIMEOUT_MS} ms`);
    }
    const flow = new HeldFlow(snapshot, lease);
    this.#flows.set(snapshot.id, flow);
    return flow;
  }

  /** `cause`: for people, what made the policy say so. */
  async enable(
    flow: HeldFlow,
    offsets: StitchOffsets,
    teardown: TeardownMode,
    cause: readonly string[],
  ): Promise<void> {
    this.#update(await this.#client.enable(flow.id, offsets, teardown, cause));
  }

  /** Both sockets are closed, or the second one was never opened. */
  socketsClosed(flow: HeldFlow, { timeWait }: { readonly timeWait: boolean }): void {
    flow.socketsClosed = true;
    flow.restPort ||= timeWait;
    this.#settle(flow);
  }

  /** Brings the counters of all flows up to date with one request. */
  async refresh(): Promise<void> {
    if (this.#refreshing) return;
    this.#refreshing = true;
    try {
      for (const snapshot of await this.#client.list()) this.#update(snapshot);
    } catch (error) {
      this.#log.debug({ err: error }, 'the switch did not list its flows');
    } finally {
      this.#refreshing = false;
    }
  }

  #take(event: AgentEvent): void {
    logEvent(event, this.#log);
    this.#update(event.flow);
    if (event.answerExpected) answerTeardown(this.#client, event, this.#log);
  }

  #update(snapshot: FlowSnapshot): void {
    const flow = this.#flows.get(snapshot.id);
    // An answer may be overtaken by an event; the longer history is the later one.
    if (!flow || snapshot.history.length < flow.snapshot.history.length) return;
    const before = flow.state;
    flow.snapshot = snapshot;
    if (snapshot.state === before) return;
    if (snapshot.state === 'closed' || snapshot.state === 'broken') flow.over = true;
    flow.onChange(flow);
    this.#settle(flow);
  }

  /** Does what is left to do for a flow: nothing, a release, or giving the port back. */
  #settle(flow: HeldFlow): void {
    if (!flow.socketsClosed) return;
    if (!flow.over) {
      // A cut flow lives on without the shell; the switch reports its end.
      if (!flow.wasCut && !flow.releasing) void this.#release(flow);
      return;
    }
    this.#flows.delete(flow.id);
    if (flow.restPort) flow.lease.rest();
    else flow.lease.free();
  }

  /** Until it is done, or the session is lost: then comparing with the switch comes back to it. */
  async #release(flow: HeldFlow): Promise<void> {
    flow.releasing = true;
    for (let wait = RETRY_MS; !flow.over; wait = Math.min(2 * wait, MAX_RETRY_MS)) {
      try {
        await this.#client.release(flow.id);
        flow.over = true;
      } catch (error) {
        const { code, message } = asSutureError(error);
        if (code === 'SUT_FLOW_UNKNOWN') flow.over = true;
        else
          this.#log.debug({ flow: flow.id, code, cause: message }, 'release not done; its port stays held');
        if (flow.over || !this.#client.ready) break;
        await this.#pause(wait);
        if (this.#stopped.signal.aborted) break;
      }
    }
    flow.releasing = false;
    if (flow.over) this.#settle(flow);
  }

  /**
   * Flows of an earlier process of this shell. Its sockets went with it: those that were not cut are released, and
   * the ports of the others are taken until the switch says that they have ended.
   */
  #inherit(left: readonly FlowSnapshot[], claim: ClaimPorts): void {
    if (left.length === 0) return;
    const endsOf = ({ ends }: FlowSnapshot): Endpoint[] => (ends ? [ends.outer.local, ends.inner.local] : []);
    const leases = claim(left.flatMap(endsOf));
    this.#log.info({ flows: left.length, ports: leases.size }, 'flows of an earlier process of this shell');
    for (const snapshot of left) {
      const lease = endsOf(snapshot).flatMap((end) => leases.get(formatEndpoint(end)) ?? [])[0] ?? NO_LEASE;
      const flow = new HeldFlow(snapshot, lease);
      flow.socketsClosed = true;
      flow.over = snapshot.state === 'closed' || snapshot.state === 'broken';
      this.#flows.set(snapshot.id, flow);
      this.#settle(flow);
    }
  }

  /** After a pause in the session: what the switch has now is what is true. */
  async #reconcile(isRenewed: boolean): Promise<void> {
    const known = [...this.#flows.values()];
    if (known.length === 0) return;
    let listed: FlowSnapshot[] | undefined;
    while (!listed) {
      try {
        listed = await this.#client.list();
      } catch (error) {
        this.#log.debug({ err: error }, 'flows not compared with the switch');
        // A session that is lost again comes back here by itself.
        if (!this.#client.ready) return;
        await this.#pause(RETRY_MS);
        if (this.#stopped.signal.aborted) return;
      }
    }
    const ids = new Set(listed.map(({ id }) => id));
    for (const snapshot of listed) this.#update(snapshot);
    const gone = known.filter(({ id, over }) => !over && !ids.has(id));
    if (isRenewed) this.#noteLost(gone.length, known.length - gone.length);
    for (const flow of known) {
      if (!ids.has(flow.id) && !flow.over) this.#gone(flow);
      else this.#settle(flow);
    }
  }

  async #pause(ms: number): Promise<void> {
    await this.#clock.sleep(ms, this.#stopped.signal).catch(() => {});
  }

  #noteLost(lost: number, kept: number): void {
    this.#counters.lost += lost;
    if (lost > 0)
      this.#log.warn({ lost, kept }, 'the switch was started anew, or is another one, and lacks flows');
    else this.#log.info({ kept }, 'the switch was started anew, or is another one, and has all flows');
  }

  #gone(flow: HeldFlow): void {
    flow.over = true;
    // The ends of a stitched one go on sending for a while.
    flow.restPort ||= flow.wasCut;
    flow.onChange(flow);
    this.#settle(flow);
  }

  /** A pair that was answered too late for its connection. The port stays held until it is known. */
  #dropLate(answer: Promise<FlowSnapshot>, lease: PortLease): void {
    answer
      .then(({ id }) => this.#client.release(id))
      .catch((error: unknown) => this.#log.debug({ err: error }, 'late answer to a pair request'))
      .finally(() => lease.rest());
  }
}
