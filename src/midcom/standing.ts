/**
 * Standing reservations (RFC 5189 PRR without a flow): which ports each shell has watched, which endpoints
 * each core has offered, and which calls of its own it lets be stitched.
 *
 * They change one after the other, so that of two agents that want the same the first gets it. Ports that
 * flows still need stay owned when the reservation that asked for them has gone.
 */
import type { ConnectionEndpoints, OwnedPorts } from '../flow/endpoints.js';
import { asSutureError, SutureError } from '../platform/errors.js';
import { type Endpoint, formatEndpoint } from '../wire/endpoint.js';
import type { Agent, FlowRecord, OwnedPiece } from './agents.js';
import { invalid } from './convert.js';
import type { Calls } from './port.js';
import { formatRange, holds, overlap, rangesOver, subtract } from './ranges.js';
import type { MidcomBackend, MidcomLimits, MidcomLog } from './service.js';

export interface StandingDemand {
  readonly watch: readonly OwnedPorts[];
  readonly offers: readonly Endpoint[];
  readonly calls: Calls;
}

export class StandingReservations {
  private readonly offers = new Map<string, Agent>();
  private queue: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly backend: MidcomBackend,
    private readonly agents: ReadonlyMap<string, Agent>,
    private readonly limits: MidcomLimits,
    private readonly log: MidcomLog,
  ) {}

  /** Puts `demand` in the place of what the agent had, or changes nothing. */
  replace(agent: Agent, demand: StandingDemand, expiresAt: number): Promise<void> {
    return this.inTurn(async () => {
      this.check(agent, demand);
      const fresh = demand.watch.flatMap((range) => subtract(range, agent.pieces));
      if (fresh.length > 0) await this.backend.own(fresh);
      agent.pieces.push(...fresh.map((range) => ({ ...range, flows: 0, retired: false })));
      await this.put(agent, demand);
      agent.standing.expiresAt = expiresAt;
    });
  }

  /** Takes away what has not been renewed; the turn before may just have done that. */
  expire(agent: Agent, now: number): Promise<void> {
    return this.inTurn(async () => {
      if (agent.standing.expiresAt > now || !agent.reserved) return;
      this.log.info({ agent: agent.name }, 'the lifetime of a standing reservation has ended');
      await this.put(agent, { watch: [], offers: [], calls: [] });
    });
  }

  coreOf(endpoint: Endpoint): Agent | undefined {
    return this.offers.get(formatEndpoint(endpoint));
  }

  /**
   * The core that opened this connection and lets it be stitched. That it opened it the switch sees from the
   * SYN; whose the address is its config says.
   */
  callerOf({ local, remote }: ConnectionEndpoints): Agent | undefined {
    const to = formatEndpoint(local);
    return [...this.agents.values()].find(({ role, addresses, standing: { calls } }) => {
      if (role !== 'core' || !addresses.has(remote.address)) return false;
      return calls === 'any' || calls.some((one) => formatEndpoint(one) === to);
    });
  }

  /** The pieces that a flow's two local ends are in. Throws when the agent has not reserved them. */
  piecesFor(agent: Agent, ends: readonly Endpoint[]): OwnedPiece[] {
    return ends.map((end) => {
      const found = agent.standing.watch.some((range) => holds(range, end))
        ? agent.pieces.find((piece) => holds(piece, end))
        : undefined;
      if (found) return found;
      throw new SutureError(
        'SUT_NOT_OWNER',
        `${formatEndpoint(end)} is outside what ${agent.name} reserved; reserve it in the standing reservation first`,
      );
    });
  }

  /** Has the ports of adopted flows carried until their shell asks for its own again, or the flows have ended. */
  adopt(agent: Agent, ends: Iterable<Endpoint>): Promise<void> {
    return this.inTurn(async () => {
      const ranges = rangesOver(ends).flatMap((range) => subtract(range, agent.pieces));
      if (ranges.length > 0) await this.backend.own(ranges);
      agent.pieces.push(...ranges.map((range) => ({ ...range, flows: 0, retired: true })));
    });
  }

  /** The pieces that these ends are in, of a standing reservation or of adopted flows. */
  piecesWith(agent: Agent, ends: readonly Endpoint[]): OwnedPiece[] {
    const found: OwnedPiece[] = [];
    for (const end of ends) {
      const piece = agent.pieces.find((one) => holds(one, end));
      if (piece) found.push(piece);
    }
    return found;
  }

  /** Lets go of the ports of a flow that has ended. */
  release(record: FlowRecord): void {
    let unused = false;
    for (const piece of record.pieces) {
      piece.flows--;
      if (piece.flows === 0 && piece.retired) unused = true;
    }
    if (unused) void this.inTurn(() => this.giveBack(record.shell));
  }

  private async put(agent: Agent, { watch, offers, calls }: StandingDemand): Promise<void> {
    for (const offer of agent.standing.offers) this.offers.delete(formatEndpoint(offer));
    for (const offer of offers) this.offers.set(formatEndpoint(offer), agent);
    agent.standing.watch = watch;
    agent.standing.offers = offers;
    agent.standing.calls = calls;
    await this.giveBack(agent);
  }

  private check(agent: Agent, { watch, offers, calls }: StandingDemand): void {
    if (agent.role === 'core' && watch.length > 0)
      throw invalid('only a shell may reserve ports to be watched');
    if (agent.role === 'shell' && offers.length > 0) throw invalid('only a core may offer endpoints');
    if (agent.role === 'shell' && (calls === 'any' || calls.length > 0))
      throw invalid('only a core may let its calls be stitched');
    const count = watch.length + offers.length + (calls === 'any' ? 0 : calls.length);
    if (count > this.limits.rangesPerAgent) {
      throw new SutureError(
        'SUT_LIMIT',
        `${count} ranges, offers and calls asked for, at most ${this.limits.rangesPerAgent} allowed`,
      );
    }
    for (const { address } of [...watch, ...offers]) checkAddress(agent, address);
    watch.forEach((range, i) => {
      const twice = watch.slice(0, i).find((other) => overlap(range, other));
      if (twice) throw invalid(`the ranges ${formatRange(twice)} and ${formatRange(range)} overlap`);
    });
    for (const other of this.agents.values()) {
      if (other !== agent) this.checkAgainst(other, watch);
    }
    for (const offer of offers) {
      const holder = this.coreOf(offer);
      if (holder && holder !== agent) {
        throw new SutureError(
          'SUT_CONFLICT',
          `${formatEndpoint(offer)} is offered by ${holder.name} already`,
        );
      }
    }
  }

  private checkAgainst(other: Agent, watch: readonly OwnedPorts[]): void {
    for (const range of watch) {
      const taken = other.pieces.find((piece) => overlap(piece, range));
      if (taken) {
        throw new SutureError(
          'SUT_CONFLICT',
          `${formatRange(range)} meets ${formatRange(taken)}, which ${other.name} reserved before`,
        );
      }
    }
  }

  /** Marks what no standing range asks for, and gives back what no flow needs either. */
  private async giveBack(agent: Agent): Promise<void> {
    for (const piece of agent.pieces) {
      piece.retired = !agent.standing.watch.some((range) => overlap(range, piece));
    }
    const unused = agent.pieces.filter((piece) => piece.retired && piece.flows === 0);
    if (unused.length === 0) return;
    agent.pieces = agent.pieces.filter((piece) => !unused.includes(piece));
    try {
      await this.backend.disown(unused.map(({ address, from, to }) => ({ address, from, to })));
    } catch (thrown) {
      // They are owned still: kept here, they go with the next change.
      agent.pieces.push(...unused);
      const error = asSutureError(thrown);
      this.log.warn({ agent: agent.name, code: error.code, err: error }, 'ports could not be given back');
    }
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.queue.then(work);
    this.queue = result.catch(() => undefined);
    return result;
  }
}

export function checkAddress(agent: Agent, address: string): void {
  if (agent.addresses.has(address)) return;
  throw new SutureError(
    'SUT_NOT_OWNER',
    `${address} is not an address of ${agent.name} (it has ${[...agent.addresses].join(', ')}); ` +
      "add it to the agent in the switch's config, or name a connection of its own",
  );
}
