/** A shell and a core agent in one process, a link between them, and a fake switch beside each. */
import { connect, type Server, type Socket } from 'node:net';
import { type RunningCore, startCore } from '../../src/core/main.js';
import { systemClock } from '../../src/platform/clock.js';
import type { CoreConfig, LinkAuth, RouteConfig } from '../../src/platform/config/index.js';
import { silentLog } from '../../src/platform/log.js';
import { type RunningShell, startShell } from '../../src/shell/main.js';
import type { Endpoint } from '../../src/wire/endpoint.js';
import { FakeSwitch } from './fake-switch.js';
import { dial, freeEndpoint, HOST, listen, PORTS, shellConfig, until } from './support.js';

const AUTH: LinkAuth = { mode: 'psk', key: 'a key that both ends have' };

export interface LinkBenchOptions {
  readonly core?: Partial<NonNullable<CoreConfig['link']>>;
  readonly coreAuth?: LinkAuth;
  readonly shellAuth?: LinkAuth;
  /** Does not wait for the link. */
  readonly linkless?: boolean;
  readonly buffer?: number;
  readonly route?: Partial<RouteConfig>;
}

export interface LinkBench {
  readonly shell: RunningShell;
  readonly core: RunningCore;
  readonly fake: FakeSwitch;
  readonly listen: Endpoint;
  readonly link: Endpoint;
  /** Where the core agent listens for inner connections. */
  readonly door: Endpoint;
  /** The local server's sockets, in the order in which they came. */
  readonly accepted: Socket[];
  /** Cuts the link as a network does that loses a host: both ends see a reset. */
  cutLink(): void;
  open(): Promise<{ peer: Socket; server: Socket }>;
  close(): Promise<void>;
}

function coreConfig(door: Endpoint, deliver: Endpoint, link: NonNullable<CoreConfig['link']>): CoreConfig {
  return {
    name: 'b1',
    switch: 'discover',
    discovery: { port: 57_627 },
    auth: { mode: 'none' },
    offers: [door],
    calls: [],
    deliver,
    link,
    log: { level: 'silent' },
  };
}

export async function linkBench(options: LinkBenchOptions = {}): Promise<LinkBench> {
  const accepted: Socket[] = [];
  const [server, deliver]: [Server, Endpoint] = await listen((socket) => accepted.push(socket));
  const [at, link, door] = [await freeEndpoint(), await freeEndpoint(), await freeEndpoint()];
  const { buffer = 64 * 1024, coreAuth = AUTH, shellAuth = AUTH } = options;
  const core = await startCore({
    config: coreConfig(door, deliver, {
      listen: link,
      auth: coreAuth,
      move: 'never',
      streams: 1000,
      connections: 1000,
      buffer,
      connect: 2000,
      drain: 2000,
      ...options.core,
    }),
    log: silentLog(),
    clock: systemClock,
    createClient: () => new FakeSwitch(),
  });
  const [wire, middle, cutLink] = await wireTo(link);
  const fake = new FakeSwitch();
  const route = { listen: at, core: door, via: 'link' as const, link: middle, move: 'never' as const };
  const base = shellConfig({ routes: [{ ...route, ...options.route }], ports: PORTS });
  const shell = await startShell({
    config: {
      ...base,
      link: { auth: shellAuth, streams: 1000 },
      limits: { ...base.limits, buffer },
      timers: { ...base.timers, connect: 3000 },
    },
    log: silentLog(),
    clock: systemClock,
    createClient: (reservation) => {
      fake.reservation = reservation;
      return fake;
    },
  });
  if (!options.linkless) await until(() => shell.stats().links[0]?.connections === 1, 'the link is up');
  return {
    shell,
    core,
    fake,
    listen: at,
    link,
    door,
    accepted,
    cutLink,
    async open() {
      const before = accepted.length;
      const peer = await dial(at);
      await until(() => accepted.length > before, 'the server was reached');
      const socket = accepted[before];
      if (!socket) throw new Error('no socket');
      return { peer, server: socket };
    },
    async close() {
      await shell.stop(AbortSignal.abort());
      await core.stop(AbortSignal.abort());
      for (const socket of accepted) socket.destroy();
      server.close();
      cutLink();
      wire.close();
    },
  };
}

/** A place to connect to that passes everything on to `to`, until it is cut. */
async function wireTo(to: Endpoint): Promise<[Server, Endpoint, () => void]> {
  const sockets = new Set<Socket>();
  const [server, at] = await listen((near) => {
    const far = connect({ host: to.address, port: to.port, noDelay: true });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  return [server, at, () => sockets.forEach((socket) => void socket.resetAndDestroy())];
}

export { HOST };
