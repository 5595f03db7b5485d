/** Sockets, servers and configs for the shell's tests, on loopback. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../src/platform/clock.js';
import { systemClock } from '../../src/platform/clock.js';
import type { RouteConfig, ShellConfig } from '../../src/platform/config/index.js';
import { silentLog } from '../../src/platform/log.js';
import { wasReset } from '../../src/platform/sockets.js';
import { type RunningShell, startShell } from '../../src/shell/main.js';
import type { Resolve } from '../../src/shell/resolve.js';
import type { Endpoint } from '../../src/wire/endpoint.js';
import { FakeSwitch } from './fake-switch.js';

export const HOST = '127.0.0.1';

/** Below the kernel's ephemeral range, so that no other test's socket is in the way. */
export const PORTS = { from: 22_000, to: 22_099 };

export async function listen(handler: (socket: Socket) => void, host = HOST): Promise<[Server, Endpoint]> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => {});
    handler(socket);
  });
  server.listen(0, host);
  await once(server, 'listening');
  return [server, { address: host, port: (server.address() as AddressInfo).port }];
}

/** A port that nobody listens on. */
export async function freeEndpoint(host = HOST): Promise<Endpoint> {
  const [server, endpoint] = await listen(() => {}, host);
  server.close();
  await once(server, 'close');
  return endpoint;
}

/** A socket that is being connected. */
export function startDial(to: Endpoint): Socket {
  const socket = connect({ host: to.address, port: to.port, allowHalfOpen: true, noDelay: true });
  return socket.on('error', () => {});
}

export async function dial(to: Endpoint): Promise<Socket> {
  const socket = startDial(to);
  await once(socket, 'connect');
  return socket;
}

export interface Ended {
  readonly data: Buffer;
  /** How reading ended: 'end', or the code of an error. */
  readonly how: string;
}

/** All that a socket gives, and how it ended. */
export function readAll(socket: Socket): Promise<Ended> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => {
    const done = (how: string): void => resolve({ data: Buffer.concat(chunks), how });
    // What node:net calls an end may be a reset, on this side as well.
    socket.once('end', () => done(wasReset(socket) ? 'ECONNRESET' : 'end'));
    socket.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? 'error'));
    socket.once('close', () => done('close'));
  });
}

export async function until(what: () => boolean, label: string): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (what()) return;
    await sleep(5);
  }
  throw new Error(`still not so after 5 s: ${label}`);
}

export interface SetupOptions {
  readonly routes: readonly (Pick<RouteConfig, 'listen'> & Partial<RouteConfig>)[];
  readonly ports?: ShellConfig['ports'];
  readonly connect?: number;
  readonly drain?: number;
  readonly connections?: number;
  readonly greeting?: number;
  readonly keepalive?: number;
  readonly clock?: Clock;
  readonly resolve?: Resolve;
}

export function shellConfig(options: SetupOptions): ShellConfig {
  return {
    name: 'a1',
    switch: 'discover',
    discovery: { port: 57_627 },
    auth: { mode: 'none' },
    ports: options.ports ?? PORTS,
    routes: options.routes.map((route) => ({ via: 'tcp', stitch: 'now', teardown: 'core', ...route })),
    limits: { connections: options.connections ?? 1000, buffer: 256 * 1024, greeting: 4096 },
    timers: {
      connect: options.connect ?? 2000,
      drain: options.drain ?? 2000,
      greeting: options.greeting ?? 2000,
      keepalive: options.keepalive ?? 60_000,
    },
    log: { level: 'silent' },
  };
}

export async function setUp(options: SetupOptions): Promise<{ shell: RunningShell; fake: FakeSwitch }> {
  const fake = new FakeSwitch();
  const shell = await startShell({
    config: shellConfig(options),
    log: silentLog(),
    clock: options.clock ?? systemClock,
    ...(options.resolve && { resolve: options.resolve }),
    createClient: (reservation) => {
      fake.reservation = reservation;
      return fake;
    },
  });
  return { shell, fake };
}

export interface Bench {
  readonly shell: RunningShell;
  readonly fake: FakeSwitch;
  readonly listen: Endpoint;
  readonly core: Endpoint;
  /** The core's sockets, in the order in which they came. */
  readonly accepted: Socket[];
  /** Opens a connection through the shell, which may say something at once; gives both far ends. */
  open(said?: string): Promise<{ peer: Socket; core: Socket }>;
  close(): Promise<void>;
}

/** One route to a core that does nothing by itself. */
export async function bench(
  route: Partial<RouteConfig> = {},
  options: Omit<SetupOptions, 'routes'> = {},
): Promise<Bench> {
  const accepted: Socket[] = [];
  const [server, core] = await listen((socket) => accepted.push(socket), route.listen?.address);
  const at = await freeEndpoint(route.listen?.address);
  const { shell, fake } = await setUp({ ...options, routes: [{ core, ...route, listen: at }] });
  return {
    shell,
    fake,
    listen: at,
    core,
    accepted,
    async open(said = '') {
      const before = accepted.length;
      const peer = await dial(at);
      if (said !== '') peer.write(said);
      await until(() => accepted.length > before, 'the core was reached');
      const socket = accepted[before];
      if (!socket) throw new Error('no socket');
      return { peer, core: socket };
    },
    async close() {
      await shell.stop(AbortSignal.abort());
      for (const socket of accepted) socket.destroy();
      server.close();
    },
  };
}

/** Reserved ports that have a flow. */
export const held = (b: Bench): number => b.shell.stats().ports[0]?.held ?? -1;

/** A connection whose flow may be stitched from now on. */
export async function opened(b: Bench, id = 'f1'): Promise<{ peer: Socket; core: Socket }> {
  const ends = await b.open();
  b.fake.tell(id, 'relayed');
  return ends;
}
