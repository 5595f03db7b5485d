/**
 * A lab of a test's own: four hosts, and in them whatever the test starts, all gone again when it ends. What
 * is asked of a switch goes over its admin socket.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inNamespace } from '../../../src/lab/command.js';
import { type LabUpOptions, labDown, labUp } from '../../../src/lab/lab.js';
import { type LabMember, namespaceOf, type WIRE } from '../../../src/lab/layout.js';
import { lossRules } from '../../../src/lab/loss.js';
import type { Program } from '../../../src/lab/program.js';
import {
  CLI,
  type ConfigObject,
  HTTP_PORT,
  RAW_PORT,
  type RouteConfig,
  route,
  Stage,
  type StitchConfig,
} from '../../../src/lab/stage.js';
import { systemClock } from '../../../src/platform/clock.js';
import { run } from '../../../src/platform/process.js';
import type { FlowDetail, FlowView } from '../../../src/switch/admin-protocol.js';
import { Folder, removeLeftovers } from './leftovers.js';
import type { Ends } from './results.js';

const CLIENTS = fileURLToPath(new URL('clients', import.meta.url));

/** The workload's two services, over both families. */
export function standardRoutes(stitch: StitchConfig = 'now'): RouteConfig[] {
  return ([4, 6] as const).flatMap((family) => [
    route(HTTP_PORT, HTTP_PORT, stitch, family),
    route(RAW_PORT, RAW_PORT, stitch, family),
  ]);
}

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a rig needs of a test. */
export interface Teardowns {
  teardown(work: () => Promise<void>): unknown;
}

export interface RigOptions extends Pick<LabUpOptions, 'bridged' | 'standby'> {
  /** Ends its waits; nothing is started in it any more. */
  readonly signal?: AbortSignal;
}

export interface PathOptions {
  readonly routes?: readonly RouteConfig[];
  readonly switchConfig?: ConfigObject;
  readonly shellConfig?: ConfigObject;
  readonly coreConfig?: ConfigObject;
}

export interface Roles {
  readonly switch: Program;
  readonly shell: Program;
  readonly core: Program;
  readonly workload: Program;
}

/** The data path under test: each end-to-end test runs on both (see scripts/test.mjs). */
export const TEST_DATAPLANE = process.env.SUTURE_TEST_DATAPLANE ?? 'userspace';

let rigs = 0;

export class Rig {
  readonly stage: Stage;
  readonly #folder: Folder;
  #goes = 0;

  private constructor(
    readonly prefix: string,
    signal?: AbortSignal,
  ) {
    this.#folder = new Folder(prefix);
    this.stage = new Stage({
      prefix,
      folder: this.#folder.path,
      clock: systemClock,
      env: this.#env(),
      ...(signal && { signal }),
      onStart: (program) => this.#folder.note(program.pid),
    });
  }

  /** Makes the lab; the test's teardown removes it with all that was started in it. */
  static async up(t: Teardowns, { signal, ...options }: RigOptions = {}): Promise<Rig> {
    signal?.throwIfAborted();
    await removeLeftovers();
    rigs += 1;
    const rig = new Rig(`sut-${process.pid}-${rigs}`, signal);
    t.teardown(() => rig.down());
    await labUp({ prefix: rig.prefix, ...options });
    return rig;
  }

  async down(): Promise<void> {
    await this.stage.stop();
    await labDown({ prefix: this.prefix });
    this.#folder.remove();
  }

  /** Switch, core, workload and shell, ready for the first connection. */
  async startPath({
    routes = standardRoutes(),
    switchConfig,
    shellConfig,
    coreConfig,
  }: PathOptions = {}): Promise<Roles> {
    const starting = this.stage.startWorkload();
    const gateway = await this.stage.startSwitch({ dataplane: TEST_DATAPLANE, ...switchConfig });
    const [core, shell, workload] = await Promise.all([
      this.stage.startCore([...new Set(routes.flatMap(({ core }) => core ?? []))], coreConfig),
      this.stage.startShell(routes, shellConfig),
      starting,
    ]);
    return { switch: gateway, shell, core, workload };
  }

  get folder(): string {
    return this.#folder.path;
  }

  /** The path of a file of the test's own. */
  file(name: string): string {
    return this.#folder.file(name);
  }

  namespace(host: LabMember | typeof WIRE): string {
    return namespaceOf(this.prefix, host);
  }

  /** Runs a system tool in a host to its end. */
  async tool(host: LabMember | typeof WIRE, argv: readonly string[], input?: string): Promise<string> {
    const [program = '', ...args] = inNamespace(this.namespace(host), argv);
    const options = { timeoutMs: 60_000, ...(input !== undefined && { input }) };
    return (await run(program, args, options)).stdout;
  }

  /** Runs `suture ARGS` in a host to its end, whatever its exit code. */
  async suture(host: LabMember | typeof WIRE, args: readonly string[]): Promise<CliResult> {
    const [program = '', ...rest] = inNamespace(this.namespace(host), [process.execPath, CLI, ...args]);
    return run(program, rest, { timeoutMs: 60_000, okCodes: [0, 1, 2, 3], env: this.#env() });
  }

  /** The same outside of every host, where `suture lab` and `suture demo` belong. */
  async sutureOutside(args: readonly string[]): Promise<CliResult> {
    const options = { timeoutMs: 60_000, okCodes: [0, 1, 2, 3], env: this.#env() };
    return run(process.execPath, [CLI, ...args], options);
  }

  startClient(name: string, args: object, options: ClientOptions = {}): Client {
    return new Client(this.stage, name, args, options);
  }

  /** Runs a client program, in E if nothing else is said, to its end; all that it reported. */
  async client<T>(name: string, args: object, options: ClientOptions = {}): Promise<T[]> {
    return (await this.startClient(name, args, options).finished()) as T[];
  }

  /** A file that a waiting client takes for "go on" once `say` was called. */
  go(): { readonly path: string; say(): void } {
    this.#goes += 1;
    const path = this.#folder.file(`go-${this.#goes}`);
    return { path, say: () => writeFileSync(path, '') };
  }

  /** The latest flow of this connection of the peer's or, for one that the core opened, the core's, once it satisfies. */
  async flowOf(
    { local, remote }: Ends,
    satisfies: (flow: FlowView) => boolean = () => true,
    timeoutMs = 15_000,
  ): Promise<FlowDetail> {
    let mine: FlowView[] = [];
    let found: FlowView | undefined;
    await this.stage.until(
      async () => {
        mine = (await this.stage.admin.flows()).filter(({ outer, inner }) =>
          [outer, inner].some((end) => end.remote === local && end.local === remote),
        );
        found = mine.findLast(satisfies);
        return found !== undefined;
      },
      timeoutMs,
      () => `no flow from ${local} to ${remote} is as it should be; there is ${JSON.stringify(mine)}`,
    );
    return this.stage.admin.flow(found?.id ?? '');
  }

  stitched(ends: Ends): Promise<FlowDetail> {
    return this.flowOf(ends, ({ state }) => state === 'stitched');
  }

  closed(ends: Ends): Promise<FlowDetail> {
    return this.flowOf(ends, ({ state }) => state === 'closed');
  }

  /** Waits until something listens on a TCP port of a host. */
  async listens(host: LabMember | typeof WIRE, port: number): Promise<void> {
    await this.stage.until(
      async () => (await this.tool(host, ['ss', '-Htln', `sport = :${port}`])) !== '',
      15_000,
      () => `nothing listens on port ${port} of ${host}`,
    );
  }

  /** A second interface of a host's, `eth1`, that is up and leads nowhere. */
  async addWay(host: LabMember): Promise<void> {
    const lines = [
      'link add eth1 type veth peer name eth1-far',
      'addr add 10.99.0.1/24 dev eth1',
      'link set eth1-far up',
      'link set eth1 up',
    ];
    await this.tool(host, ['ip', '-batch', '-'], `${lines.join('\n')}\n`);
  }

  /** Loses this share of all packets on each leg, in both directions. Only in a bridged lab. */
  async lose(percent: number): Promise<void> {
    await this.tool('w', ['nft', '-f', '-'], lossRules(percent));
  }

  /** Packets that `lose` has dropped. */
  async lost(): Promise<number> {
    const text = await this.tool('w', ['nft', 'list', 'table', 'bridge', 'loss']);
    return Number(/counter packets (\d+)/.exec(text)?.[1]);
  }

  #env(): NodeJS.ProcessEnv {
    // What tap sets for its own children must not reach the programs under test.
    return { SUTURE_LAB: this.prefix, NODE_OPTIONS: '', TAP: '', PATH: process.env.PATH };
  }
}

export interface ClientOptions {
  readonly host?: LabMember | typeof WIRE;
  readonly onResult?: (result: unknown) => void;
}

/** A client program that may be watched while it runs. */
export class Client {
  readonly #program: Program;
  readonly #stage: Stage;
  readonly #results: unknown[] = [];

  constructor(stage: Stage, name: string, args: object, { host = 'e', onResult }: ClientOptions) {
    const program = name.endsWith('.py')
      ? ['python3', `${CLIENTS}/${name}`]
      : [process.execPath, `${CLIENTS}/${name}.mjs`];
    const argv = [...program, JSON.stringify(args)];
    this.#stage = stage;
    this.#program = stage.start(`client ${name}`, host, argv, (line, stream) => {
      if (stream !== 'stdout') return;
      const result: unknown = JSON.parse(line);
      this.#results.push(result);
      onResult?.(result);
    });
  }

  /** The n-th report, from 0. */
  async report<T>(n: number, timeoutMs = 60_000): Promise<T> {
    await this.#stage.until(
      async () => this.#results.length > n || !this.#program.running,
      timeoutMs,
      () => this.#complaint(),
    );
    if (this.#results.length <= n) throw new Error(this.#complaint());
    return this.#results[n] as T;
  }

  async finished(): Promise<unknown[]> {
    const { code } = await this.#program.ended;
    if (code !== 0) throw new Error(this.#complaint());
    return this.#results;
  }

  stop(): Promise<unknown> {
    return this.#program.stop();
  }

  #complaint(): string {
    const { name, output } = this.#program;
    return `${name} gave ${this.#results.length} reports; its output: ${output}`;
  }
}
