/**
 * What an agent asks of its switch about flows, one function for each request: writes the message, sends it on the
 * given conversation, reads the reply.
 *
 * What always holds: nothing is remembered here, and nothing is tried a second time; a function rejects as
 * `Conversation.request` does.
 */
import type { FlowSnapshot } from '../dataplane/port.js';
import type { ConnectionEndpoints, StitchOffsets } from '../flow/endpoints.js';
import type { Conversation } from './conversation.js';
import { endMessage, flowFrom, teardownMessage } from './convert.js';
import type { FlowEnd, TeardownMode } from './port.js';

/** What a shell asks for when it asks for a flow. */
export interface Pair {
  readonly outer: ConnectionEndpoints;
  readonly inner: ConnectionEndpoints;
  readonly openedBy: FlowEnd;
}

/** `first` sees the flow before any event that arrives after the reply. */
export async function pairFlow(
  conversation: Conversation,
  { outer, inner, openedBy }: Pair,
  first: (flow: FlowSnapshot) => void,
): Promise<FlowSnapshot> {
  const what = { $case: 'pair' as const, value: { outer, inner, openedBy: endMessage(openedBy) } };
  const { value } = await conversation.request('reserve', { what, lifetimeSeconds: 0 }, ({ flow }) => {
    if (flow) first(flowFrom(flow));
  });
  return flowFrom(value.flow);
}

export async function enableFlow(
  conversation: Conversation,
  flowId: string,
  offsets: StitchOffsets,
  teardown: TeardownMode,
  conditions?: readonly string[],
): Promise<FlowSnapshot> {
  const cause = conditions && { conditions: [...conditions] };
  const request = { flowId, offsets, teardown: teardownMessage(teardown), cause };
  const { value } = await conversation.request('enable', request);
  return flowFrom(value.flow);
}

export async function proceedFlow(
  conversation: Conversation,
  flowId: string,
  from: FlowEnd,
): Promise<FlowSnapshot> {
  const { value } = await conversation.request('proceed', { flowId, from: endMessage(from) });
  return flowFrom(value.flow);
}

/** A lifetime of 0 ends the reservation (RFC 6887 section 15.1). */
export async function releaseFlow(conversation: Conversation, id: string): Promise<FlowSnapshot> {
  const target = { $case: 'flowId' as const, value: id };
  const { value } = await conversation.request('changeLifetime', { target, lifetimeSeconds: 0 });
  return flowFrom(value.flow);
}

/** The agent's flows, all pages of them. */
export async function listFlows(conversation: Conversation): Promise<FlowSnapshot[]> {
  const flows: FlowSnapshot[] = [];
  let page = '';
  do {
    const { value } = await conversation.request('list', { page });
    flows.push(...value.flows.map((flow) => flowFrom(flow)));
    page = value.next;
  } while (page !== '');
  return flows;
}

/** RLC for all that the agent reserved, flows and the rest. Gives the granted lifetime. */
export async function renewEverything(conversation: Conversation, lifetimeSeconds: number): Promise<number> {
  const target = { $case: 'everything' as const, value: {} };
  const { value } = await conversation.request('changeLifetime', { target, lifetimeSeconds });
  return value.lifetimeSeconds;
}
