/**
 * What happens to flows without a request: their events go to their agents, and what has outlived its lifetime is ended.
 *
 * What always holds: both agents of a flow hear of its end exactly once, whether it came by a request, by its lifetime or
 * by its packets; an agent hears nothing of a flow before it was told the flow's id.
 */
import type { FlowEvent, FlowSnapshot } from '../dataplane/port.js';
import type { Clock } from '../platform/clock.js';
import { asSutureError } from '../platform/errors.js';
import type { FlowRecord } from './agents.js';
import type { OpenFlows } from './open-flows.js';
import type { FlowEnd } from './port.js';
import type { MidcomBackend, MidcomLog } from './service.js';
import { Telling } from './telling.js';

/** A flow that could not be ended at the end of its lifetime is tried again after this long. */
const END_RETRY_MS = 10_000;

export interface EndingsOptions {
  readonly backend: MidcomBackend;
  readonly flows: OpenFlows;
  /** Milliseconds that an agent may take to answer. */
  readonly teardownMs: number;
  readonly clock: Clock;
  readonly log: MidcomLog;
}

export class Endings {
  readonly telling: Telling;

  constructor(private readonly options: EndingsOptions) {
    const { backend, clock, teardownMs } = options;
    this.telling = new Telling({
      limitMs: teardownMs,
      now: () => clock.monotonic(),
      letGo: (id, from) => void this.letGo(id, from),
    });
    backend.onEvent((event) => this.onBackendEvent(event));
  }

  /** The agent has been told the flow's id: from here on it may hear of it. */
  announced(id: string): void {
    const record = this.options.flows.get(id);
    const held = record?.held;
    if (!record || !held) return;
    record.held = undefined;
    for (const event of held) this.deliver(record, event);
  }

  /** Ends a flow that its agent has not been told of, and never will be. */
  async abandon(id: string): Promise<void> {
    const record = this.options.flows.get(id);
    if (!record) return;
    record.held = undefined;
    record.expiresAt = 0;
    // If it does not end now, it is tried again.
    await this.expire(record);
  }

  /** Ends a flow, and says so. */
  async end(record: FlowRecord): Promise<FlowSnapshot> {
    const { backend, flows } = this.options;
    const { rule, id } = record;
    record.rule = 'ending';
    try {
      const flow = await backend.close(id);
      // The data path may or may not have reported the end by an event already.
      if (flows.has(id)) {
        const ended: FlowSnapshot = isOver(flow) ? flow : { ...flow, state: 'closed', reason: 'released' };
        this.onBackendEvent({ kind: 'state', flow: ended });
      }
      return flow;
    } catch (error) {
      if (asSutureError(error).code === 'SUT_FLOW_UNKNOWN') flows.drop(record);
      else record.rule = rule;
      throw error;
    }
  }

  /** Ends what has outlived its lifetime by `now`. */
  async expireDue(now: number): Promise<void> {
    await Promise.all(this.options.flows.due(now).map((record) => this.expire(record)));
  }

  private async expire(record: FlowRecord): Promise<void> {
    const { clock, flows, log } = this.options;
    if (record.rule === 'ending') return;
    try {
      await this.end(record);
    } catch (thrown) {
      if (!flows.has(record.id)) return;
      const error = asSutureError(thrown);
      log.warn({ flow: record.id, code: error.code, err: error }, 'an expired flow did not end');
      record.expiresAt = clock.monotonic() + END_RETRY_MS;
      flows.renew(record);
    }
  }

  /** Left alone, it would go on when its time is over. */
  private async letGo(id: string, from: FlowEnd): Promise<void> {
    await this.options.backend.proceed(id, from).catch((thrown: unknown) => {
      this.options.log.debug({ flow: id, err: asSutureError(thrown) }, 'what was held went on by itself');
    });
  }

  private onBackendEvent(event: FlowEvent): void {
    const record = this.options.flows.get(event.flow.id);
    if (!record) {
      // A flow of a former process: nobody is there to answer.
      if (event.held && event.from) void this.letGo(event.flow.id, event.from);
      return;
    }
    if (record.held) record.held.push(event);
    else this.deliver(record, event);
  }

  private deliver(record: FlowRecord, event: FlowEvent): void {
    // After its end a flow has nothing more to say, so held events behind it are not delivered.
    if (!this.options.flows.has(record.id)) return;
    if (isOver(event.flow)) this.options.flows.drop(record);
    this.telling.tell(record, event);
  }
}

function isOver({ state }: FlowSnapshot): boolean {
  return state === 'closed' || state === 'broken';
}
