/**
 * The switch's control service: listens, gives every stream its session, and ends what has outlived its
 * lifetime. What the requests do is in `transactions.ts`.
 */
import { networkInterfaces } from 'node:os';
import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from '@grpc/grpc-js';
import type { OwnedPorts } from '../flow/endpoints.js';
import type { Clock } from '../platform/clock.js';
import { asSutureError, SutureError } from '../platform/errors.js';
import { canonicalAddress, type Endpoint, formatEndpoint } from '../wire/endpoint.js';
import { batching } from './batching.js';
import { MidcomService } from './gen/suture/v1/midcom.js';
import { Opening } from './opening.js';
import type { AgentRole, LinkState } from './port.js';
import {
  type AgentConfig,
  DEFAULT_LIMITS,
  type MidcomBackend,
  type MidcomLimits,
  type MidcomLog,
} from './service.js';
import { Session, type SessionCounter, type SessionStream } from './session.js';
import { type AdoptedFlow, Transactions } from './transactions.js';

const SWEEP_MS = 1_000;
/** A connection whose far end is gone without a word is found out after the sum of the two. */
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;
const DEFAULT_GRACE_MS = 2_000;

export interface ControlServerOptions {
  /** The switch's name. */
  readonly name: string;
  /** Where to listen: address `*` is every address of this host, port 0 takes a free one. */
  readonly listen: Endpoint;
  readonly auth: { readonly mode: 'none' };
  readonly agents: readonly AgentConfig[];
  readonly backend: MidcomBackend;
  readonly clock: Clock;
  readonly log: MidcomLog;
  readonly limits?: Partial<MidcomLimits>;
  /** What this switch can do, told to every agent. */
  readonly capabilities?: readonly string[];
  /** Addresses of this host; read from the system unless given. */
  readonly ownAddresses?: () => readonly string[];
  /** How long `stop` waits for requests under way. */
  readonly graceMs?: number;
}

/** An agent as `suture agents` shows it. Times are milliseconds since the Unix epoch. */
export interface AgentView {
  readonly name: string;
  readonly role: AgentRole;
  readonly addresses: readonly string[];
  readonly connected: boolean;
  readonly peer?: string;
  readonly since?: number;
  readonly flows: number;
  /** Port ranges that it has watched, as `address:from-to`. */
  readonly watch: readonly string[];
  readonly offers: readonly string[];
  /** Cores: endpoints of shells, to which its connections may be stitched; `any` for all of them. */
  readonly calls: 'any' | readonly string[];
  readonly links: readonly LinkState[];
}

export class ControlServer {
  private readonly transactions: Transactions;
  private readonly opening: Opening;
  private readonly limits: MidcomLimits;
  private readonly sessions = new Set<Session>();
  private readonly tally: Record<SessionCounter | 'streams' | 'streamsRefused', number> = {
    streams: 0,
    streamsRefused: 0,
    requests: 0,
    failures: 0,
    rateLimited: 0,
    events: 0,
    sessionsLost: 0,
    sessionsClosed: 0,
  };
  private readonly stopped = new AbortController();
  private server: Server | undefined;
  private sweeping: Promise<void> | undefined;
  private stopping: Promise<void> | undefined;

  constructor(private readonly options: ControlServerOptions) {
    const { backend, agents, clock, log, name, capabilities = [] } = options;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.transactions = new Transactions({ backend, agents, limits: this.limits, clock, log });
    this.opening = new Opening({
      switchName: name,
      capabilities,
      transactions: this.transactions,
      limits: this.limits,
      ownAddresses: options.ownAddresses ?? hostAddresses,
    });
  }

  /** Gives the endpoint that it listens on. */
  async start(): Promise<Endpoint> {
    const { listen, log } = this.options;
    // What the library would print itself comes back as errors here, and goes to the log.
    setLogVerbosity(logVerbosity.NONE);
    this.server = new Server({
      interceptors: [batching],
      'grpc.max_receive_message_length': this.limits.messageBytes,
      'grpc.max_send_message_length': this.limits.messageBytes,
      'grpc.keepalive_time_ms': KEEPALIVE_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    });
    this.server.addService(MidcomService, { session: (stream: SessionStream) => this.accept(stream) });
    const port = await bindAny(this.server, listen);
    this.sweeping = this.sweep();
    const bound = { address: listen.address, port };
    if (!isLoopback(listen.address)) {
      log.warn(
        { listen: formatEndpoint(bound) },
        'auth is none and the control service is not on loopback: anyone who can send from an agent’s address ' +
          'can act as that agent',
      );
    }
    log.info({ listen: formatEndpoint(bound) }, 'control service listens');
    return bound;
  }

  /** Open flows that were there before; to be called before `start`. Gives those that no agent here can have. */
  adopt(flows: readonly AdoptedFlow[]): Promise<string[]> {
    return this.transactions.adopt(flows);
  }

  /** Ends every session with an AST once its requests are answered; a second call ends them at once. */
  async stop(): Promise<void> {
    if (this.stopping) this.force();
    this.stopping ??= this.drain();
    return this.stopping;
  }

  agents(): AgentView[] {
    return [...this.transactions.agents.values()].map((agent) => ({
      name: agent.name,
      role: agent.role,
      addresses: [...agent.addresses],
      connected: agent.session !== undefined,
      ...(agent.session ? { peer: agent.session.peer, since: agent.session.since } : {}),
      flows: agent.flows.size,
      watch: agent.standing.watch.map(formatPorts),
      offers: agent.standing.offers.map(formatEndpoint),
      calls: agent.standing.calls === 'any' ? 'any' : agent.standing.calls.map(formatEndpoint),
      links: agent.links,
    }));
  }

  /** Asks a shell that its connections leave their links: those of this peer, or all. */
  move(name: string, peer: Endpoint | undefined): void {
    const agent = this.transactions.agents.get(name);
    if (!agent) throw new SutureError('SUT_REQUEST_INVALID', `no agent has the name ${JSON.stringify(name)}`);
    if (agent.role !== 'shell') {
      throw new SutureError(
        'SUT_REQUEST_INVALID',
        `${name} is a core; a shell moves connections, so ask that`,
      );
    }
    if (!agent.session) throw new SutureError('SUT_SESSION_STATE', `${name} is not connected`);
    agent.session.move(peer);
  }

  counters(): Record<string, number> {
    return { ...this.tally, sessions: this.sessions.size, flows: this.transactions.flowCount };
  }

  private accept(stream: SessionStream): void {
    const { backend, clock, log } = this.options;
    this.tally.streams++;
    const session = new Session({
      stream,
      opening: this.opening,
      transactions: this.transactions,
      epoch: () => backend.epoch(),
      limits: this.limits,
      clock,
      log,
      onEnd: (ended) => this.sessions.delete(ended),
      count: (counter) => {
        this.tally[counter]++;
      },
    });
    this.sessions.add(session);
    if (this.stopping) {
      session.terminate('SUT_SHUTTING_DOWN', 'this switch is stopping');
    } else if (this.sessions.size > 2 * this.limits.agents) {
      this.tally.streamsRefused++;
      session.terminate(
        'SUT_LIMIT',
        `${this.sessions.size} streams are open, more than there may be sessions`,
      );
    }
  }

  private async sweep(): Promise<void> {
    const { clock, log } = this.options;
    while (!this.stopped.signal.aborted) {
      await clock.sleep(SWEEP_MS, this.stopped.signal).catch(() => undefined);
      if (this.stopped.signal.aborted) return;
      try {
        await this.transactions.sweep();
      } catch (error) {
        log.error({ err: asSutureError(error) }, 'ending what has expired failed');
      }
    }
  }

  private async drain(): Promise<void> {
    const { clock, log, graceMs = DEFAULT_GRACE_MS } = this.options;
    this.stopped.abort();
    await this.sweeping;
    for (const session of this.sessions) session.terminate('SUT_SHUTTING_DOWN', 'this switch is stopping');
    const server = this.server;
    if (!server) return;
    const shut = new AbortController();
    const late = clock.sleep(graceMs, shut.signal).then(
      () => this.force(),
      () => undefined,
    );
    await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    shut.abort();
    await late;
    log.info({}, 'control service stopped');
  }

  private force(): void {
    for (const session of this.sessions) session.destroy();
    this.server?.forceShutdown();
  }
}

/** `*` is both families where the host has both. */
async function bindAny(server: Server, listen: Endpoint): Promise<number> {
  if (listen.address !== '*') return bind(server, listen);
  return bind(server, { address: '::', port: listen.port }).catch((error: unknown) => {
    if (asSutureError(error).code === 'SUT_ALREADY_RUNNING') throw error;
    return bind(server, { address: '0.0.0.0', port: listen.port });
  });
}

function bind(server: Server, listen: Endpoint): Promise<number> {
  const where = formatEndpoint(listen);
  return new Promise((resolve, reject) => {
    server.bindAsync(where, ServerCredentials.createInsecure(), (error, port) => {
      if (!error) return resolve(port);
      const taken = error.message.includes('EADDRINUSE');
      reject(
        new SutureError(
          taken ? 'SUT_ALREADY_RUNNING' : 'SUT_CONFIG_INVALID',
          taken
            ? `${where} is taken: stop the program that listens there, or give the control service another port`
            : `the control service can't listen on ${where}: ${error.message}`,
          { cause: error },
        ),
      );
    });
  });
}

function hostAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
}

function formatPorts({ address, from, to }: OwnedPorts): string {
  const first = formatEndpoint({ address, port: from });
  return from === to ? first : `${first}-${to}`;
}

function isLoopback(address: string): boolean {
  const text = canonicalAddress(address);
  return text === '::1' || (text?.startsWith('127.') ?? false);
}
