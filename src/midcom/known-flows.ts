/**
 * An agent's memory of its flows, and how it is settled with what the switch has when a session begins again.
 *
 * What always holds: a shell comes to know a flow by the reply that made it or by the list that takes it over, never by
 * an event alone, and a core by events too; a flow that was released, or whose end was heard, is not known any more.
 * Ends whose events were lost are told as events by `catchUp`, which also releases pairs whose replies were lost,
 * unless they were cut. After `keepListed`, with another instance of the switch, only flows that it has are known.
 */
import type { FlowSnapshot } from '../dataplane/port.js';
import { asSutureError } from '../platform/errors.js';
import type { Conversation } from './conversation.js';
import { listFlows, type Pair, pairFlow, releaseFlow, renewEverything } from './flow-requests.js';
import type { Reply } from './gen/suture/v1/midcom.js';
import type { OpenResult } from './gen/suture/v1/transactions.js';
import type { AgentEvent, AgentRole } from './port.js';
import type { MidcomLog } from './service.js';

/** From one of these on a flow lives without its shell's sockets. */
const CUT: ReadonlySet<string> = new Set(['cutting', 'stitched', 'broken', 'closed']);

export class KnownFlows {
  /** Flows whose end this agent has not heard of, as they were last heard of. */
  private readonly known = new Map<string, FlowSnapshot>();
  /** Pair requests whose reply was lost: the switch may have flows that nobody here knows. */
  private unansweredPairs = 0;

  /** `tell` is given the events that the switch sent, and those made up for lost ones. */
  constructor(
    private readonly role: AgentRole,
    private readonly log: MidcomLog,
    private readonly tell: (event: AgentEvent) => void,
  ) {}

  async pair(conversation: Conversation, pair: Pair): Promise<FlowSnapshot> {
    try {
      return await pairFlow(conversation, pair, (flow) => this.known.set(flow.id, flow));
    } catch (error) {
      if (asSutureError(error).code === 'SUT_TIMEOUT') this.unansweredPairs++;
      throw error;
    }
  }

  async release(conversation: Conversation, id: string): Promise<FlowSnapshot> {
    const flow = await releaseFlow(conversation, id);
    this.known.delete(id);
    return flow;
  }

  takeEvent(event: AgentEvent): void {
    const { flow } = event;
    if (flow.state === 'closed' || flow.state === 'broken') this.known.delete(flow.id);
    // A shell hears of its flows by replies first; one that it hears of only so is an orphan.
    else if (this.role === 'core' || this.known.has(flow.id)) this.known.set(flow.id, flow);
    this.tell(event);
  }

  /** A pair that was answered when nobody waited for it any more. */
  dropLate(conversation: Conversation, result: NonNullable<Reply['result']>): void {
    if (result.$case !== 'reserve' || !result.value.flow) return;
    const { id } = result.value.flow;
    if (this.unansweredPairs > 0) this.unansweredPairs--;
    this.release(conversation, id).catch((error: unknown) =>
      this.log.debug({ flow: id, err: asSutureError(error) }, 'a late pair was not released'),
    );
  }

  /** The conversation has ended; replies that it still owed will not come. */
  lose(conversation: Conversation): void {
    this.unansweredPairs += conversation.unanswered('reserve');
  }

  /**
   * What an earlier process of this agent left with the switch. Its lifetimes may be about to end, since nobody has
   * renewed them meanwhile.
   */
  async takeOver(conversation: Conversation, opened: OpenResult): Promise<FlowSnapshot[]> {
    await renewEverything(conversation, opened.lifetimeSeconds);
    const flows = await listFlows(conversation);
    for (const flow of flows) this.known.set(flow.id, flow);
    return flows;
  }

  /** After a pause: renews what is left of the flows' lifetimes, and settles what was not heard. */
  async catchUp(conversation: Conversation, opened: OpenResult): Promise<void> {
    await renewEverything(conversation, opened.lifetimeSeconds);
    const missed = opened.eventsLost || !opened.resumed;
    if (!missed && this.unansweredPairs === 0) return;
    const flows = await listFlows(conversation);
    await this.releaseOrphans(conversation, flows);
    if (missed) this.makeUp(flows);
  }

  /** Flows whose id never arrived: nobody here will ever use them. */
  private async releaseOrphans(conversation: Conversation, flows: readonly FlowSnapshot[]): Promise<void> {
    if (this.unansweredPairs === 0) return;
    const orphans = flows.filter((flow) => !this.known.has(flow.id) && !wasCut(flow));
    await Promise.allSettled(orphans.map(({ id }) => this.release(conversation, id)));
    this.unansweredPairs = 0;
  }

  /** After a restart of the switch, or with another one: it may have flows of the one before. The others are gone. */
  async keepListed(conversation: Conversation, opened: OpenResult): Promise<void> {
    await renewEverything(conversation, opened.lifetimeSeconds);
    const flows = await listFlows(conversation);
    await this.releaseOrphans(conversation, flows);
    const before = new Set(this.known.keys());
    this.known.clear();
    for (const flow of flows) if (before.has(flow.id)) this.known.set(flow.id, flow);
  }

  /** Tells as events what the lost events would have told. */
  private makeUp(flows: readonly FlowSnapshot[]): void {
    const gone = new Map(this.known);
    for (const flow of flows) {
      if (!gone.delete(flow.id)) continue;
      this.known.set(flow.id, flow);
      this.tell({ kind: 'state', flow });
    }
    for (const flow of gone.values()) {
      this.known.delete(flow.id);
      this.tell({ kind: 'state', flow: { ...flow, state: 'closed' } });
    }
  }
}

/** What was not cut may be `closing` too, with its FIN on the way through the shell. */
function wasCut({ state, history }: FlowSnapshot): boolean {
  return CUT.has(state) || history.some((step) => CUT.has(step.state));
}
