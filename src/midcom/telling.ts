/**
 * Who is told of a FIN or RST, and when. In teardown mode `core` the core is told first and its answer tells the shell,
 * in mode `shell` it is the other way round; in the others both are told at once.
 *
 * What always holds: each agent hears a flow's events in the order in which they happened, each once; an agent that
 * is to hear of a FIN or RST from the other one hears nothing more of the flow before that. Where there is no answer
 * to expect (no session, or an agent that does not answer), or none came in time, the switch tells by itself.
 */
import type { FlowEvent, FlowSide, FlowSnapshot } from '../dataplane/port.js';
import type { Agent, FlowRecord } from './agents.js';
import type { AgentEvent, AgentRole } from './port.js';

/** An event that the second agent has still to hear. */
interface Waiting {
  event: AgentEvent;
  /** When it is told whatever happens; 0: once those before it are. */
  deadline: number;
}

interface Queue {
  readonly record: FlowRecord;
  /** Who is told first, and second; it stays so while something waits, whatever becomes of the flow's mode. */
  readonly order: Order;
  readonly waiting: Waiting[];
}

type Order = readonly [first: Agent, second: Agent];

export interface TellingOptions {
  /** Milliseconds that an agent may take to answer. */
  readonly limitMs: number;
  readonly now: () => number;
  /** What is held is to go on, because nobody can be asked. */
  readonly letGo: (id: string, from: FlowSide) => void;
}

export class Telling {
  /** By flow; also of flows that have ended meanwhile. */
  private readonly queues = new Map<string, Queue>();

  constructor(private readonly options: TellingOptions) {}

  tell(record: FlowRecord, event: FlowEvent): void {
    const { from } = event;
    const order = this.queues.get(record.id)?.order ?? orderOf(record);
    const [first, second] = order;
    if (event.kind === 'state' || from === undefined) {
      first.tell(event);
      this.tellSecond(record, order, { event, deadline: 0 });
      return;
    }
    const asked = askedOf(record).filter(canAnswer);
    const waits = asked.length > 0 && isOrdered(record);
    first.tell(asked.includes(first) ? { ...event, answerExpected: true } : event);
    const forSecond = asked.includes(second) ? { ...event, answerExpected: true } : event;
    const deadline = waits ? this.options.now() + this.options.limitMs : 0;
    this.tellSecond(record, order, { event: forSecond, deadline });
    if (event.held && asked.length === 0) this.options.letGo(record.id, from);
  }

  /** The flow that this agent may still answer for, if it is not among the open ones any more. */
  recordOf(agent: Agent, id: string): FlowRecord | undefined {
    const record = this.queues.get(id)?.record;
    return record?.shell === agent || record?.core === agent ? record : undefined;
  }

  /** The agent answered; what the flow was like at the event that it answered, if anybody was waiting. */
  answered(agent: Agent, id: string, from: FlowSide): FlowSnapshot | undefined {
    const queue = this.queues.get(id);
    if (!queue || queue.order[0] !== agent) return undefined;
    const found = queue.waiting.find((one) => one.deadline > 0 && one.event.from === from);
    if (!found) return undefined;
    this.settle(found, agent.role);
    this.flush(queue);
    return found.event.flow;
  }

  /** Tells what has waited for too long. */
  sweep(): void {
    const now = this.options.now();
    for (const queue of this.queues.values()) {
      for (const one of queue.waiting) if (one.deadline > 0 && one.deadline <= now) this.settle(one);
      this.flush(queue);
    }
  }

  private settle(waiting: Waiting, toldBy?: AgentRole): void {
    waiting.deadline = 0;
    if (toldBy) waiting.event = { ...waiting.event, toldBy };
  }

  private tellSecond(record: FlowRecord, order: Order, waiting: Waiting): void {
    const queue = this.queues.get(record.id);
    if (queue) queue.waiting.push(waiting);
    else if (waiting.deadline > 0) this.queues.set(record.id, { record, order, waiting: [waiting] });
    else order[1].tell(waiting.event);
  }

  private flush({ record, order, waiting }: Queue): void {
    while (waiting[0]?.deadline === 0) order[1].tell((waiting.shift() as Waiting).event);
    if (waiting.length === 0) this.queues.delete(record.id);
  }
}

/** One of the two tells the other. */
function isOrdered({ teardown }: FlowRecord): boolean {
  return teardown === 'core' || teardown === 'shell';
}

function orderOf({ teardown, shell, core }: FlowRecord): Order {
  return teardown === 'core' ? [core, shell] : [shell, core];
}

/** Agents whose answer there is something to wait for. */
export function askedOf({ teardown, shell, core }: FlowRecord): readonly Agent[] {
  if (teardown === 'both') return [];
  if (teardown === 'control') return [shell, core];
  return [teardown === 'core' ? core : shell];
}

function canAnswer(agent: Agent): boolean {
  return agent.answers && agent.session !== undefined;
}
