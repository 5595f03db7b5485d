/**
 * Opens sessions (RFC 5189 SE): version, identity, and whether a session goes on or begins anew.
 *
 * Without authentication an agent is who it says, but only from a place where it may be: one of the
 * addresses that the configuration binds to its name, or this host itself.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { SutureError } from '../platform/errors.js';
import { canonicalAddress } from '../wire/endpoint.js';
import type { Agent, LoggedEvent, SessionHandle } from './agents.js';
import { invalid, roleFrom } from './convert.js';
import type { Open, OpenResult } from './gen/suture/v1/transactions.js';
import { ANSWERS_TEARDOWN, type MidcomLimits, PROTOCOL_VERSIONS } from './service.js';
import type { Transactions } from './transactions.js';

const TOKEN_BYTES = 16;

export interface OpeningOptions {
  readonly switchName: string;
  readonly capabilities: readonly string[];
  readonly transactions: Transactions;
  readonly limits: MidcomLimits;
  /** Addresses of the switch's own host, as they are now. */
  readonly ownAddresses: () => readonly string[];
}

export interface Opened {
  readonly agent: Agent;
  readonly result: OpenResult;
  /** Events of the session that goes on, which its agent has not heard of. */
  readonly missed: readonly LoggedEvent[];
}

export class Opening {
  constructor(private readonly options: OpeningOptions) {}

  /** Attaches `session` to its agent, or changes nothing. */
  open(request: Open, session: SessionHandle): Opened {
    const version = agreedVersion(request.versions);
    const agent = this.identify(request, session.peer);
    const resumed = agent.token !== undefined && sameSecret(agent.token, request.token);
    this.checkPlace(agent, resumed);
    agent.session?.terminate('SUT_CONFLICT', 'another stream goes on with this session');
    if (!resumed) {
      agent.token = randomBytes(TOKEN_BYTES).toString('hex');
      agent.events.clear();
    }
    const missed = resumed ? agent.events.after(request.lastEvent) : [];
    agent.session = session;
    agent.answers = request.capabilities.includes(ANSWERS_TEARDOWN);
    const { switchName, capabilities, transactions } = this.options;
    const result: OpenResult = {
      version,
      switchName,
      capabilities: [...capabilities],
      lifetimeSeconds: transactions.grant(request.lifetimeSeconds),
      token: agent.token ?? '',
      resumed,
      eventsLost: missed === undefined,
    };
    return { agent, result, missed: missed ?? [] };
  }

  private identify({ agent: name, role }: Open, peer: string): Agent {
    const wanted = roleFrom(role);
    const agent = this.options.transactions.agents.get(name);
    if (!agent) {
      throw identity(`no agent "${name}" in this switch's config; add it, or correct the agent's name`);
    }
    if (agent.role !== wanted) {
      throw identity(`${name} is a ${agent.role} in this switch's config and not a ${wanted}`);
    }
    const address = peerAddress(peer);
    if (address !== undefined && (agent.addresses.has(address) || this.isOwn(address))) return agent;
    throw identity(
      `${name} connected from ${address ?? peer}, which is not among its addresses ` +
        `(${[...agent.addresses].join(', ')}); add it to the agent in the switch's config`,
    );
  }

  private isOwn(address: string): boolean {
    if (address === '::1' || address.startsWith('127.')) return true;
    return this.options.ownAddresses().some((own) => canonicalAddress(own) === address);
  }

  /** A second session of one agent is refused, unless it proves to be the first one's. */
  private checkPlace(agent: Agent, resumed: boolean): void {
    if (resumed) return;
    if (agent.session) {
      throw new SutureError(
        'SUT_CONFLICT',
        `${agent.name} has a session from ${agent.session.peer}; end that first, or give its token`,
      );
    }
    const { agents: most } = this.options.limits;
    const open = [...this.options.transactions.agents.values()].filter(({ session }) => session).length;
    if (open >= most) throw new SutureError('SUT_LIMIT', `${open} sessions are open, the most that may be`);
  }
}

function identity(message: string): SutureError {
  return new SutureError('SUT_IDENTITY', message);
}

function agreedVersion(offered: readonly number[]): number {
  if (offered.length === 0) throw invalid('versions is empty');
  const common = PROTOCOL_VERSIONS.filter((version) => offered.includes(version));
  if (common.length > 0) return Math.max(...common);
  throw new SutureError(
    'SUT_VERSION',
    `the agent speaks version ${offered.join(', ')} and this switch ${PROTOCOL_VERSIONS.join(', ')}; update the older`,
  );
}

/** `address:port` as the gRPC library writes it, without brackets for IPv6. */
export function peerAddress(peer: string): string | undefined {
  const [address = ''] = peer.slice(0, peer.lastIndexOf(':')).split('%');
  return canonicalAddress(address);
}

function sameSecret(known: string, given: string): boolean {
  const a = Buffer.from(known);
  const b = Buffer.from(given);
  return a.length === b.length && timingSafeEqual(a, b);
}
