/**
 * The shell agent: listens on its routes, keeps its session with the switch, relays, and has connections
 * stitched.
 *
 * It serves without a switch as well: until one is there, and whenever it is away, connections are relayed.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { createSwitchClient } from '../midcom/client.js';
import type { Reservation, SwitchClient } from '../midcom/port.js';
import { ANSWERS_TEARDOWN } from '../midcom/service.js';
import type { Clock } from '../platform/clock.js';
import type { ShellConfig } from '../platform/config/index.js';
import { type ErrorCode, SutureError } from '../platform/errors.js';
import type { Running } from '../platform/lifecycle.js';
import type { Logger } from '../platform/log.js';
import { codeOf, keepaliveOptions } from '../platform/sockets.js';
import { type Endpoint, formatEndpoint } from '../wire/endpoint.js';
import { Connection } from './connection.js';
import type { ShellContext } from './context.js';
import { FlowBook } from './flows.js';
import { LimitedLog } from './limited-log.js';
import { Links } from './links.js';
import { eventLoopBusy, LoadMeter } from './load.js';
import { claimPorts } from './ports.js';
import { type Resolve, systemResolve } from './resolve.js';
import { type Listener, obstacleOf, planRoutes, type Route, type RoutePlan, targetText } from './routes.js';
import { ShellCounters, type ShellStats } from './stats.js';
import { Stitcher } from './stitcher.js';

/** Time for the last releases once all sockets are closed. */
const QUIET_MS = 2_000;
const QUIET_STEP_MS = 10;

export interface ShellOptions {
  readonly config: ShellConfig;
  readonly log: Logger;
  readonly clock: Clock;
  /** Where the switch's client comes from; tests give their own. */
  readonly createClient?: (reservation: Reservation) => SwitchClient;
  /** Looks up names that clients ask for; tests give their own. */
  readonly resolve?: Resolve;
}

export interface RunningShell extends Running {
  /** True while the switch can be asked for stitches. */
  readonly ready: boolean;
  stats(): ShellStats;
}

export async function startShell(options: ShellOptions): Promise<RunningShell> {
  const { config, log, clock } = options;
  const plan = await planRoutes(config, clock);
  for (const route of plan.routes) logRoute(route, log);
  const reservation: Reservation = { watch: plan.watch, offers: [] };
  const client =
    options.createClient?.(reservation) ??
    createSwitchClient({
      name: config.name,
      role: 'shell',
      switch: config.switch,
      discoveryPort: config.discovery.port,
      reservation,
      log,
      clock,
      capabilities: [ANSWERS_TEARDOWN],
    });
  const shell = new Shell(options, plan, client);
  try {
    await shell.start();
  } catch (error) {
    await shell.stop(AbortSignal.abort()).catch(() => {});
    throw error;
  }
  return shell;
}

class Shell implements RunningShell {
  readonly #config: ShellConfig;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #plan: RoutePlan;
  readonly #client: SwitchClient;
  readonly #counters = new ShellCounters();
  readonly #book: FlowBook;
  readonly #load: LoadMeter;
  readonly #stitcher: Stitcher;
  readonly #links: Links;
  readonly #context: ShellContext;
  readonly #servers: Server[] = [];
  readonly #connections = new Map<Connection, Promise<void>>();
  readonly #abort = new AbortController();
  #stopping: Promise<void> | undefined;

  constructor(options: ShellOptions, plan: RoutePlan, client: SwitchClient) {
    const { config, log, clock, resolve = systemResolve } = options;
    this.#config = config;
    this.#log = log;
    this.#clock = clock;
    this.#plan = plan;
    this.#client = client;
    const counters = this.#counters;
    const book = new FlowBook({
      client,
      log,
      clock,
      counters,
      claim: (ends) => claimPorts(plan.pools, ends),
    });
    this.#book = book;
    this.#load = new LoadMeter(clock, undefined, eventLoopBusy());
    this.#stitcher = new Stitcher({
      clock,
      load: this.#load,
      ready: () => client.ready,
      refreshPackets: () => book.refresh(),
    });
    this.#links = new Links({
      config,
      routes: plan.routes,
      clock,
      log,
      onChange: () => client.report(this.#links.states),
    });
    client.onMove((peer) => this.#moveOff(peer));
    this.#context = {
      client,
      book,
      stitcher: this.#stitcher,
      counters,
      links: this.#links,
      clock,
      log,
      limited: new LimitedLog(log, clock),
      resolve,
      connectTimeoutMs: config.timers.connect,
      keepalive: keepaliveOptions(config.timers.keepalive),
      greetingTimeoutMs: config.timers.greeting,
      greetingBytes: config.limits.greeting,
      bufferBytes: config.limits.buffer,
    };
    client.onSession((change) => log.info({ change }, 'session with the switch'));
  }

  get ready(): boolean {
    return this.#client.ready;
  }

  stats(): ShellStats {
    const ports = [...this.#plan.pools].map(([address, pool]) => ({ address, ...pool.stats }));
    return {
      ...this.#counters,
      flows: this.#book.size,
      load: this.#load.value,
      links: this.#links.states,
      ports,
    };
  }

  async start(): Promise<void> {
    this.#stitcher.start();
    this.#links.start();
    this.#client.report(this.#links.states);
    // Before the first connection, so that as few as possible are relayed unwatched.
    await this.#client.start();
    for (const [listen, listener] of this.#plan.listeners) {
      this.#servers.push(await this.#listen(listen, listener));
      const at = formatEndpoint(listen);
      const routes = this.#plan.routes.filter((route) => formatEndpoint(route.listen) === at);
      this.#log.info({ listen: at, to: routes.map(targetText) }, 'listening');
    }
  }

  /** Stops accepting and lets relayed connections end; an aborted signal, or a second stop, resets them. */
  stop(signal?: AbortSignal): Promise<void> {
    if (this.#stopping || signal?.aborted) this.#abort.abort();
    signal?.addEventListener('abort', () => this.#abort.abort(), { once: true });
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const closed = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)));
    await this.#drain();
    await Promise.all(closed);
    await this.#links.stop();
    await this.#stitcher.stop();
    await this.#settle();
    this.#book.stop();
    await this.#client.stop();
    this.#log.info(this.stats(), 'stopped');
  }

  /** Stitched connections have no socket here any more: they are left to the switch. */
  async #drain(): Promise<void> {
    if (this.#connections.size > 0) {
      this.#log.info({ connections: this.#connections.size }, 'waiting for relayed connections');
      const timer = new AbortController();
      const hurry = AbortSignal.any([timer.signal, this.#abort.signal]);
      const limit = this.#clock.sleep(this.#config.timers.drain, hurry).catch(() => {});
      await Promise.race([this.#allClosed(), limit]);
      timer.abort();
    }
    if (this.#connections.size > 0) {
      this.#log.warn({ connections: this.#connections.size }, 'resetting what is still relayed');
    }
    for (const connection of this.#connections.keys()) connection.abort();
    await this.#allClosed();
  }

  /** The switch asks that connections leave their link. */
  #moveOff(peer: Endpoint | undefined): void {
    let asked = 0;
    for (const connection of this.#connections.keys()) if (connection.askMove(peer)) asked += 1;
    this.#log.info({ peer: peer && formatEndpoint(peer), asked }, 'the switch asks for moves');
  }

  async #allClosed(): Promise<void> {
    // A connection may be accepted while the others are waited for.
    while (this.#connections.size > 0) await Promise.all(this.#connections.values());
  }

  async #settle(): Promise<void> {
    const until = this.#clock.monotonic() + QUIET_MS;
    while (this.#client.ready && !this.#book.quiet && this.#clock.monotonic() < until) {
      await this.#clock.sleep(QUIET_STEP_MS);
    }
  }

  #listen(listen: Endpoint, listener: Listener): Promise<Server> {
    const { address: host, port } = listen;
    const options = { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, ...this.#context.keepalive };
    const server = createServer(options, (socket) => this.#accept(socket, listener));
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(listenError(listen, error)));
      // An IPv6 wildcard would take the IPv4 peers of another route otherwise.
      server.listen({ host, port, ipv6Only: true }, () => {
        server.removeAllListeners('error');
        server.on('error', (error) => this.#context.limited.warn('accept', { err: error }, 'accept failed'));
        resolve(server);
      });
    });
  }

  #accept(socket: Socket, listener: Listener): void {
    const limit = this.#config.limits.connections;
    if (this.#connections.size >= limit) {
      this.#counters.rejected += 1;
      this.#context.limited.warn('limit', { limit }, 'over the limit of connections; the client is reset');
      socket.on('error', () => {});
      socket.resetAndDestroy();
      return;
    }
    const connection = new Connection(socket, listener, this.#context);
    const run = connection
      .run()
      .catch((error: unknown) => this.#log.error({ err: error }, 'a connection ended in an unexpected way'))
      .finally(() => this.#connections.delete(connection));
    this.#connections.set(connection, run);
  }
}

function logRoute(route: Route, log: Logger): void {
  const obstacle = obstacleOf(route);
  if (obstacle === undefined) return;
  const fields = { listen: formatEndpoint(route.listen), to: targetText(route) };
  log.warn(fields, `this route is relayed and never stitched: ${obstacle}`);
}

const LISTEN_CODES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  EADDRINUSE: ['SUT_ALREADY_RUNNING', 'another program listens there; stop it or change the route'],
  EADDRNOTAVAIL: ['SUT_CONFIG_INVALID', 'this host does not have that address; give it one of its own'],
  EACCES: ['SUT_PERMISSION', 'ports below 1024 need CAP_NET_BIND_SERVICE; run as root or change the route'],
};

function listenError(listen: Endpoint, error: Error): SutureError {
  const found = codeOf(error);
  const [code, advice] = LISTEN_CODES[found] ?? ['SUT_INTERNAL', error.message];
  return new SutureError(code, `can't listen on ${formatEndpoint(listen)} (${found}): ${advice}`, {
    cause: error,
  });
}
