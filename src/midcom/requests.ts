/** The requests of an open session: reads the message, makes the transaction, writes the result. */
import { randomBytes } from 'node:crypto';
import type { FlowSnapshot } from '../dataplane/port.js';
import type { Agent } from './agents.js';
import {
  callsFrom,
  causeFrom,
  connectionFrom,
  endpointFrom,
  flowMessage,
  invalid,
  linksFrom,
  offsetsFrom,
  openedByFrom,
  rangeFrom,
  sideFrom,
  teardownFrom,
} from './convert.js';
import { Flow } from './gen/suture/v1/common.js';
import type { ChangeLifetime, List, Reserve, StandingReservation } from './gen/suture/v1/transactions.js';
import { DEFAULT_LIMITS, type MidcomLimits } from './service.js';
import type { Request, Result } from './session.js';
import type { Transactions } from './transactions.js';

/** Left in a message beside the flows of a list: the reply's own fields and each flow's tag and length. */
const LIST_OVERHEAD = 512;
const FLOW_OVERHEAD = 8;

/** The rest of a list that takes several messages. */
interface Listing {
  readonly page: string;
  readonly rest: readonly FlowSnapshot[];
}

export class Requests {
  private listing: Listing | undefined;

  constructor(
    private readonly agent: Agent,
    private readonly transactions: Transactions,
    private readonly lifetime: number,
    private readonly limits: MidcomLimits,
  ) {}

  async handle(request: Request): Promise<Result> {
    const { agent, transactions } = this;
    switch (request.$case) {
      case 'reserve':
        return this.reserve(request.value);
      case 'enable': {
        const { flowId, offsets, teardown, cause } = request.value;
        const mode = teardownFrom(teardown);
        const flow = await transactions.enable(agent, flowId, offsetsFrom(offsets), mode, causeFrom(cause));
        return { $case: 'enable', value: { flow: flowMessage(flow) } };
      }
      case 'proceed': {
        const { flowId, from } = request.value;
        const flow = await transactions.proceed(agent, flowId, sideFrom(from));
        return { $case: 'proceed', value: { flow: flowMessage(flow) } };
      }
      case 'changeLifetime':
        return this.changeLifetime(request.value);
      case 'status': {
        const flow = await transactions.status(agent, request.value.flowId);
        return { $case: 'status', value: { flow: flowMessage(flow) } };
      }
      case 'list':
        return this.list(request.value);
      case 'report':
        agent.links = linksFrom(request.value);
        return { $case: 'report', value: {} };
      default:
        throw invalid(`${request.$case} is no request of an open session`);
    }
  }

  private async reserve({ what, lifetimeSeconds }: Reserve): Promise<Result> {
    const lifetime = lifetimeSeconds === 0 ? this.lifetime : this.transactions.grant(lifetimeSeconds);
    if (!what) throw invalid('reserve names neither a standing reservation nor a pair');
    if (what.$case === 'standing') {
      await this.transactions.reserveStanding(this.agent, standingFrom(what.value), lifetime);
      return { $case: 'reserve', value: { lifetimeSeconds: lifetime, flow: undefined } };
    }
    const outer = connectionFrom(what.value.outer, 'outer');
    const inner = connectionFrom(what.value.inner, 'inner');
    const openedBy = openedByFrom(what.value.openedBy);
    const flow = await this.transactions.pair(this.agent, { outer, inner, openedBy }, lifetime);
    return { $case: 'reserve', value: { lifetimeSeconds: lifetime, flow: flowMessage(flow) } };
  }

  private async changeLifetime({ target, lifetimeSeconds }: ChangeLifetime): Promise<Result> {
    if (!target) throw invalid('changeLifetime names neither a flow nor everything');
    // 0 is a lifetime of its own here: it ends.
    const lifetime = lifetimeSeconds === 0 ? 0 : this.transactions.grant(lifetimeSeconds);
    if (target.$case === 'everything') {
      this.transactions.changeAllLifetimes(this.agent, lifetime);
      return { $case: 'changeLifetime', value: { lifetimeSeconds: lifetime, flow: undefined } };
    }
    const flow = await this.transactions.changeLifetime(this.agent, target.value, lifetime);
    return { $case: 'changeLifetime', value: { lifetimeSeconds: lifetime, flow: flowMessage(flow) } };
  }

  private async list({ page }: List): Promise<Result> {
    if (page !== '' && page !== this.listing?.page) {
      throw invalid(`there is no page "${page}" (any more); begin the list again`);
    }
    const flows = page === '' ? await this.transactions.list(this.agent) : (this.listing?.rest ?? []);
    const fitting = this.fitting(flows);
    const rest = flows.slice(fitting.length);
    this.listing = rest.length === 0 ? undefined : { page: randomBytes(8).toString('hex'), rest };
    return { $case: 'list', value: { flows: fitting, next: this.listing?.page ?? '' } };
  }

  /** As many as one message may hold, and one at least. */
  private fitting(flows: readonly FlowSnapshot[]): Flow[] {
    const messages: Flow[] = [];
    // Agents take the protocol's size, whatever this switch would take itself.
    let left = Math.min(this.limits.messageBytes, DEFAULT_LIMITS.messageBytes) - LIST_OVERHEAD;
    for (const flow of flows) {
      const message = flowMessage(flow);
      left -= Flow.encode(message).finish().length + FLOW_OVERHEAD;
      if (left < 0 && messages.length > 0) break;
      messages.push(message);
    }
    return messages;
  }
}

function standingFrom({ watch, offers, calls }: StandingReservation) {
  return {
    watch: watch.map((range, i) => rangeFrom(range, `watch[${i}]`)),
    offers: offers.map((offer, i) => endpointFrom(offer, `offers[${i}]`)),
    calls: callsFrom(calls),
  };
}
