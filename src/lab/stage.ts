/**
 * Everything that runs in a lab for a demo or a test: switch, shell, core and workload, started as people
 * start them (the built `dist/cli/main.js` with a config file), waited for until they can be used, stopped.
 */

import { writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../platform/clock.js';
import { SutureError } from '../platform/errors.js';
import { AdminClient } from '../switch/admin-client.js';
import { formatEndpoint } from '../wire/endpoint.js';
import { type LabHost, type LabMember, legOf, namespaceOf, STANDBY, type WIRE } from './layout.js';
import { Program, type ProgramOptions } from './program.js';

/** The package's folder, two levels above both src/lab and dist/lab. */
export const PACKAGE_ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const CLI = join(PACKAGE_ROOT, 'dist/cli/main.js');
export const WORKLOAD_CLASSES = join(PACKAGE_ROOT, 'workload/build');

/** The workload's two services; see workload/src. */
export const HTTP_PORT = 8080;
export const RAW_PORT = 8081;

/** For a machine that is busy with other things; nothing here usually takes a tenth of it. */
const START_MS = 30_000;
const POLL_MS = 20;

export type Family = 4 | 6;
export type StitchConfig = 'now' | 'never' | { readonly after: Readonly<Record<string, number | string>> };
export type ConfigObject = Readonly<Record<string, unknown>>;

/** A route as the shell's config file has it. */
export interface RouteConfig {
  readonly listen: string;
  readonly core?: string;
  readonly peer?: string;
  readonly socks5?: true | { readonly users: readonly { user: string; password: string }[] };
  readonly allow?: readonly string[];
  readonly from?: readonly string[];
  readonly prepend?: 'proxy-v2';
  readonly match?: { readonly sni?: readonly string[]; readonly host?: readonly string[] };
  readonly stitch?: StitchConfig;
  readonly teardown?: 'control' | 'core' | 'shell' | 'both';
  readonly via?: 'tcp' | 'link';
  readonly link?: string;
  readonly move?: StitchConfig;
}

export function addressOf(host: 'e' | 'a' | 'b', family: Family): string {
  const leg = legOf(host);
  return family === 4 ? leg.address4 : leg.address6;
}

export function endpointOf(host: 'e' | 'a' | 'b', port: number, family: Family = 4): string {
  return formatEndpoint({ address: addressOf(host, family), port });
}

/** A route from a port of the shell's to one of the core's. */
export function route(
  port: number,
  corePort: number,
  stitch: StitchConfig = 'now',
  family: Family = 4,
): RouteConfig & { readonly core: string } {
  return { listen: endpointOf('a', port, family), core: endpointOf('b', corePort, family), stitch };
}

export interface StageOptions {
  readonly prefix: string;
  /** For config files; the caller makes and removes it. */
  readonly folder: string;
  /** Default: in the folder. */
  readonly adminSocket?: string;
  readonly clock: Clock;
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
  readonly onStart?: (program: Program) => void;
}

export class Stage {
  readonly adminSocket: string;
  readonly admin: AdminClient;
  readonly #options: StageOptions;
  readonly #programs: Program[] = [];

  constructor(options: StageOptions) {
    this.#options = options;
    this.adminSocket = options.adminSocket ?? join(options.folder, 'switch.sock');
    this.admin = new AdminClient(this.adminSocket);
  }

  start(
    name: string,
    host: LabMember | typeof WIRE,
    argv: readonly string[],
    onLine?: ProgramOptions['onLine'],
  ): Program {
    const { prefix, folder, clock, env, signal, onStart } = this.#options;
    signal?.throwIfAborted();
    const program = new Program({
      name,
      namespace: namespaceOf(prefix, host),
      argv,
      clock,
      cwd: folder,
      ...(env && { env }),
      ...(onLine && { onLine }),
    });
    this.#programs.push(program);
    onStart?.(program);
    return program;
  }

  /** Last started, first stopped: each finds those that it depends on still there. */
  async stop(): Promise<void> {
    for (let program = this.#programs.pop(); program; program = this.#programs.pop()) await program.stop();
  }

  startSwitch(config: ConfigObject = {}): Promise<Program> {
    const ready = (): Promise<void> => this.#adminAnswers(this.adminSocket, this.admin);
    return this.#role('switch', 's', this.#switchConfig(config), ready);
  }

  #switchConfig(config: ConfigObject): ConfigObject {
    const agent = (name: string, role: string, host: 'a' | 'b') => ({
      name,
      role,
      addresses: [addressOf(host, 4), addressOf(host, 6)],
    });
    return {
      name: 's1',
      interfaces: ['to-e', 'to-a', 'to-b'],
      auth: { mode: 'none' },
      table: 'memory',
      dataplane: 'auto',
      agents: [agent('a1', 'shell', 'a'), agent('b1', 'core', 'b')],
      admin: `unix:${this.adminSocket}`,
      ...config,
    };
  }

  /** The second switch of a lab that has one; gives what it can be asked by. */
  async startStandby(
    config: ConfigObject,
  ): Promise<{ readonly program: Program; readonly admin: AdminClient }> {
    const socket = join(this.#options.folder, 'standby.sock');
    const full = { ...this.#switchConfig({ name: 's2' }), ...config, admin: `unix:${socket}` };
    const admin = new AdminClient(socket);
    const ready = (): Promise<void> => this.#adminAnswers(socket, admin);
    return { program: await this.#role('switch', STANDBY, full, ready, 'standby'), admin };
  }

  startShell(routes: readonly RouteConfig[], config: ConfigObject = {}): Promise<Program> {
    const full = {
      name: 'a1',
      switch: 'discover',
      auth: { mode: 'none' },
      ports: '20000-29999',
      routes,
      ...config,
    };
    return this.#role('shell', 'a', full, () => this.agentReady('a1'));
  }

  /** Usually beside the workload; but it has no part in the data path, and may be elsewhere. */
  startCore(
    offers: readonly string[],
    config: ConfigObject & { name?: string } = {},
    host: LabHost = 'b',
  ): Promise<Program> {
    const full = { name: 'b1', switch: 'discover', auth: { mode: 'none' }, offers, ...config };
    return this.#role('core', host, full, () => this.agentReady(full.name));
  }

  /** On the core's host; on the peer's it is the far server of connections that the core opens. */
  async startWorkload(host: 'b' | 'e' = 'b'): Promise<Program> {
    const listeners = ([4, 6] as const).flatMap((family) => [
      ...['--http', endpointOf(host, HTTP_PORT, family)],
      ...['--raw', endpointOf(host, RAW_PORT, family)],
    ]);
    const argv = ['java', '-Xmx256m', '-cp', WORKLOAD_CLASSES, 'suture.workload.Main', ...listeners];
    const program = this.start('workload', host, argv);
    await program.line(/^ready$/, START_MS);
    return program;
  }

  /** Waits for an agent's session and its reservations. */
  async agentReady(name: string): Promise<void> {
    await this.until(
      async () => {
        const agents = await this.admin.agents().catch(() => []);
        return agents.some(
          (agent) => agent.name === name && agent.connected && (agent.reserved.length > 0 || agent.calls),
        );
      },
      START_MS,
      () => `agent ${name} has no session with its reservations made`,
    );
  }

  /** Asks again and again; the time limit is for what hangs, it measures nothing. */
  async until(ask: () => Promise<boolean>, timeoutMs: number, complaint: () => string): Promise<void> {
    const { clock, signal } = this.#options;
    const deadline = clock.monotonic() + timeoutMs;
    while (!(await ask())) {
      if (clock.monotonic() > deadline) {
        throw new SutureError('SUT_LAB', `${complaint()}, after ${timeoutMs} ms`);
      }
      await clock.sleep(POLL_MS, signal);
    }
  }

  async #role(
    role: string,
    host: LabMember,
    config: ConfigObject,
    ready: () => Promise<void>,
    name = role,
  ): Promise<Program> {
    const file = join(this.#options.folder, `${name}-${config.name}.yaml`);
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(config, null, 2));
    const program = this.start(name, host, [process.execPath, CLI, role, '-c', file]);
    const died = program.ended.then(({ code, signal }) => {
      throw new SutureError('SUT_LAB', `${role} ended with ${code ?? signal} at its start`);
    });
    try {
      await Promise.race([ready(), died]);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw new SutureError('SUT_LAB', `${text}; it wrote:\n${program.output}`, { cause: error });
    } finally {
      died.catch(() => undefined);
    }
    return program;
  }

  async #adminAnswers(socket: string, admin: AdminClient): Promise<void> {
    await this.until(
      () => accepts(socket),
      START_MS,
      () => `nothing answers on ${socket}`,
    );
    await admin.stats();
  }
}

/** Whether a program takes connections on a Unix socket. */
export function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
