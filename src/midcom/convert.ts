/**
 * Between messages and the plain objects of the ports. What arrives is checked here, and only here: what
 * comes out has canonical addresses, ports of 1 to 65535 and known names.
 */
import type { FlowEventKind, FlowSnapshot } from '../dataplane/port.js';
import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from '../flow/endpoints.js';
import {
  type DirectionCounters,
  FLOW_STATES,
  type FlowReason,
  type FlowState,
  TEARDOWN_MODES,
} from '../flow/state.js';
import { SutureError } from '../platform/errors.js';
import { canonicalAddress, type Endpoint } from '../wire/endpoint.js';
import * as common from './gen/suture/v1/common.js';
import * as messages from './gen/suture/v1/transactions.js';
import type { AgentEvent, AgentRole, Calls, FlowEnd, LinkState, TeardownMode } from './port.js';

/** `FLOW_STATES` in the order of the enum, which starts with 1; so do `TEARDOWN_MODES`. */
const STATE_NUMBERS = Object.fromEntries(FLOW_STATES.map((state, i) => [state, i + 1])) as Record<
  FlowState,
  common.FlowState
>;
/** What a cause may be made of: it is printed on terminals. */
const MAX_CONDITIONS = 16;
const CONDITION = /^[\x20-\x7e]{1,300}$/;
/** More cores than this no shell is linked to. */
const MAX_LINKS = 256;
const EVENT_KINDS: readonly (FlowEventKind | undefined)[] = [undefined, 'state', 'fin', 'rst'];

export function invalid(message: string): SutureError {
  return new SutureError('SUT_REQUEST_INVALID', message);
}

function portFrom(port: number, what: string): number {
  if (port < 1 || port > 65_535) throw invalid(`${what}: port ${port} found, 1 to 65535 expected`);
  return port;
}

function addressFrom(text: string, what: string): string {
  const address = canonicalAddress(text);
  if (address === undefined) throw invalid(`${what}: "${text}" found, an IPv4 or IPv6 address expected`);
  return address;
}

export function endpointFrom(message: common.Endpoint | undefined, what: string): Endpoint {
  if (!message) throw invalid(`${what} is missing`);
  return { address: addressFrom(message.address, what), port: portFrom(message.port, what) };
}

export function connectionFrom(message: common.Connection | undefined, what: string): ConnectionEndpoints {
  if (!message) throw invalid(`${what} is missing`);
  return {
    local: endpointFrom(message.local, `${what}.local`),
    remote: endpointFrom(message.remote, `${what}.remote`),
  };
}

export function rangeFrom(message: common.PortRange, what: string): OwnedPorts {
  const address = addressFrom(message.address, what);
  const from = portFrom(message.firstPort, what);
  const to = portFrom(message.lastPort, what);
  if (from > to) throw invalid(`${what}: the range ${from} to ${to} is empty`);
  return { address, from, to };
}

export function rangeMessage({ address, from, to }: OwnedPorts): common.PortRange {
  return { address, firstPort: from, lastPort: to };
}

export function roleFrom(role: common.Role): AgentRole {
  if (role === common.Role.ROLE_SHELL) return 'shell';
  if (role === common.Role.ROLE_CORE) return 'core';
  throw invalid(`role: ${role} found, ROLE_SHELL or ROLE_CORE expected`);
}

export function roleMessage(role: AgentRole): common.Role {
  return role === 'shell' ? common.Role.ROLE_SHELL : common.Role.ROLE_CORE;
}

export function teardownFrom(mode: messages.TeardownMode): TeardownMode {
  const name = TEARDOWN_MODES[mode - 1];
  if (name !== undefined) return name;
  throw invalid(`teardown: mode ${mode} found, 1 to ${TEARDOWN_MODES.length} expected`);
}

export function teardownMessage(mode: TeardownMode): messages.TeardownMode {
  return TEARDOWN_MODES.indexOf(mode) + 1;
}

export function endMessage(end: FlowEnd | undefined): messages.End {
  if (end === undefined) return messages.End.END_UNSPECIFIED;
  return end === 'peer' ? messages.End.END_PEER : messages.End.END_CORE;
}

/** The end that a request is about. */
export function sideFrom(end: messages.End): FlowEnd {
  const known = endFrom(end);
  if (known !== undefined) return known;
  throw invalid(`from: ${end} found, END_PEER or END_CORE expected`);
}

function endFrom(end: messages.End): FlowEnd | undefined {
  if (end === messages.End.END_PEER) return 'peer';
  return end === messages.End.END_CORE ? 'core' : undefined;
}

export function openedByFrom(end: messages.End | undefined): FlowEnd {
  if (end === undefined || end === messages.End.END_UNSPECIFIED) return 'peer';
  const known = endFrom(end);
  if (known === undefined) throw invalid(`opened_by: ${end} found, END_PEER or END_CORE expected`);
  return known;
}

export function callsMessage(calls: Calls | undefined): messages.Calls | undefined {
  // No endpoint named means any; an empty list of ours means none.
  if (calls === undefined || (calls !== 'any' && calls.length === 0)) return undefined;
  return { to: calls === 'any' ? [] : [...calls] };
}

export function callsFrom(message: messages.Calls | undefined): Calls {
  if (!message) return [];
  return message.to.length === 0 ? 'any' : message.to.map((to, i) => endpointFrom(to, `calls.to[${i}]`));
}

export function causeFrom(message: messages.StitchCause | undefined): readonly string[] | undefined {
  if (!message || message.conditions.length === 0) return undefined;
  const { conditions } = message;
  if (conditions.length <= MAX_CONDITIONS && conditions.every((text) => CONDITION.test(text)))
    return conditions;
  throw invalid(`cause: at most ${MAX_CONDITIONS} conditions of 1 to 300 printable characters expected`);
}

export function offsetsFrom(message: messages.StitchOffsets | undefined): StitchOffsets {
  if (!message) throw invalid('offsets is missing');
  const { consumedFromPeer, injectedToCore, consumedFromCore, injectedToPeer } = message;
  return { consumedFromPeer, injectedToCore, consumedFromCore, injectedToPeer };
}

export function linksFrom({ links }: messages.Report): LinkState[] {
  if (links.length > MAX_LINKS) throw invalid(`links: ${links.length} found, at most ${MAX_LINKS} expected`);
  return links.map(({ endpoint, connections, streams }, i) => ({
    endpoint: endpointFrom(endpoint, `links[${i}]`),
    connections,
    streams,
  }));
}

export function flowMessage(flow: FlowSnapshot): common.Flow {
  return {
    id: flow.id,
    state: STATE_NUMBERS[flow.state],
    reason: flow.reason ?? '',
    up: flow.up,
    down: flow.down,
    toShellStitched: flow.toShellStitched,
    history: flow.history.map(({ state, at }) => ({ state: STATE_NUMBERS[state], atMs: Math.trunc(at) })),
    outer: flow.ends?.outer,
    inner: flow.ends?.inner,
  };
}

function stateFrom(state: common.FlowState): FlowState {
  const name = FLOW_STATES[state - 1];
  if (name === undefined) {
    throw new SutureError(
      'SUT_VERSION',
      `the switch sent flow state ${state}, which this agent does not know`,
    );
  }
  return name;
}

function countersFrom(message: common.Counters | undefined): DirectionCounters {
  return { packets: message?.packets ?? 0, bytes: message?.bytes ?? 0 };
}

function endsFrom({ outer, inner }: common.Flow): Pick<FlowSnapshot, 'ends'> {
  if (!outer || !inner) return {};
  return { ends: { outer: connectionFrom(outer, 'outer'), inner: connectionFrom(inner, 'inner') } };
}

export function flowFrom(message: common.Flow | undefined): FlowSnapshot {
  if (!message) throw new SutureError('SUT_VERSION', 'the switch left out the flow that its reply is about');
  return {
    id: message.id,
    state: stateFrom(message.state),
    // A name that a newer switch has added is passed on as it is: it is for people.
    ...(message.reason === '' ? {} : { reason: message.reason as FlowReason }),
    up: countersFrom(message.up),
    down: countersFrom(message.down),
    toShellStitched: countersFrom(message.toShellStitched),
    history: message.history.map(({ state, atMs }) => ({ state: stateFrom(state), at: atMs })),
    ...endsFrom(message),
  };
}

export function eventMessage(sequence: number, event: AgentEvent): messages.Event {
  const { flow, from, held = false, answerExpected = false, segment, toldBy } = event;
  return {
    sequence,
    kind: EVENT_KINDS.indexOf(event.kind),
    flow: flowMessage(flow),
    from: endMessage(from),
    held,
    answerExpected,
    segment,
    toldBy: toldBy ? roleMessage(toldBy) : common.Role.ROLE_UNSPECIFIED,
  };
}

/** Undefined for a kind of event that a newer switch has added. */
export function eventFrom(message: messages.Event): AgentEvent | undefined {
  const kind = EVENT_KINDS[message.kind];
  if (kind === undefined) return undefined;
  const flow = flowFrom(message.flow);
  const from = endFrom(message.from);
  const { held, answerExpected, segment, toldBy } = message;
  return {
    kind,
    flow,
    ...(from && { from }),
    ...(held && { held }),
    ...(answerExpected && { answerExpected }),
    ...(segment && { segment }),
    ...(toldBy !== common.Role.ROLE_UNSPECIFIED && { toldBy: roleFrom(toldBy) }),
  };
}
