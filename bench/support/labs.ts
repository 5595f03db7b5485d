/**
 * The labs of a benchmark: as many as it has kinds of topology, all of the same shape, made before and removed
 * after it whatever happens.
 *
 * Plain routing and the relays that are compared stand in a lab of their own, since a switch, or a NAT with its
 * connection tracking, would be in their way too; measurements go back and forth between the labs.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inNamespace } from '#suture/lab/command.js';
import { labDown, labStatus, labUp } from '#suture/lab/lab.js';
import { LAB_HOSTS, type LabHost, namespaceOf, type WIRE } from '#suture/lab/layout.js';
import type { Program, ProgramOptions } from '#suture/lab/program.js';
import { type ConfigObject, type RouteConfig, Stage } from '#suture/lab/stage.js';
import type { Clock } from '#suture/platform/clock.js';
import { SutureError } from '#suture/platform/errors.js';
import { run } from '#suture/platform/process.js';
import type { BenchContext } from './context.js';
import { CpuMeter, cpuBetween } from './cpu.js';

const TOOL_MS = 60_000;
/** What others may use of the machine before it is worth a note. */
const NOISE_CORES = 0.05;
/**
 * In every host, for every rival. BBR, the default of some hosts, measures the path and paces by it; between two
 * namespaces that path is a function call, and its guesses decide the result.
 */
const CONGESTION_CONTROL = 'reno';
const LEFTOVER = /^(sutbench-(\d+)-\w+)-[esabw]$/;
const LEFTOVER_FOLDER = /^suture-bench-(\d+)-/;

export interface LabPlan {
  readonly bridged?: boolean;
}

export interface SutureConfig {
  readonly routes: readonly RouteConfig[];
  readonly switchConfig?: ConfigObject;
  readonly shellConfig?: ConfigObject;
}

export interface Roles {
  readonly switch: Program;
  readonly shell: Program;
  readonly core: Program;
}

export class Lab {
  readonly stage: Stage;
  readonly clock: Clock;

  constructor(
    readonly prefix: string,
    readonly folder: string,
    readonly meter: CpuMeter,
    private readonly context: BenchContext,
  ) {
    const { clock, signal } = context;
    this.clock = clock;
    const onStart = ({ pid, name }: Program): void => meter.addProgram(pid, name);
    const env = { NODE_OPTIONS: '', SUTURE_LAB: prefix };
    this.stage = new Stage({ prefix, folder, clock, signal, env, onStart });
    for (const host of LAB_HOSTS) meter.addHost(host, this.namespace(host));
  }

  namespace(host: LabHost | typeof WIRE): string {
    return namespaceOf(this.prefix, host);
  }

  /** Runs a tool in a host to its end; gives what it printed. */
  async tool(host: LabHost | typeof WIRE, argv: readonly string[], input = ''): Promise<string> {
    const [program = '', ...args] = inNamespace(this.namespace(host), argv);
    const { signal } = this.context;
    return (await run(program, args, { timeoutMs: TOOL_MS, signal, input })).stdout;
  }

  start(
    name: string,
    host: LabHost | typeof WIRE,
    argv: readonly string[],
    onLine?: ProgramOptions['onLine'],
  ): Program {
    return this.stage.start(name, host, argv, onLine);
  }

  /** Starts a program, and gives all lines of its standard output when it has ended well, and in time. */
  async output(name: string, host: LabHost, argv: readonly string[], limitMs: number): Promise<string[]> {
    const lines: string[] = [];
    const program = this.start(name, host, argv, (line, stream) => {
      if (stream === 'stdout') lines.push(line);
    });
    await this.endedWell(program, limitMs);
    return lines;
  }

  /** The limit is for what hangs; it measures nothing. */
  async endedWell(program: Program, limitMs: number): Promise<void> {
    const waiting = new AbortController();
    const late = this.clock.sleep(limitMs, waiting.signal).then(
      () => 'late' as const,
      () => undefined,
    );
    const end = await Promise.race([program.ended, late]);
    waiting.abort();
    if (end === 'late') {
      await program.stop();
      throw new SutureError('SUT_BENCH', `${program.name} took longer than ${limitMs} ms: ${program.output}`);
    }
    if (end?.code === 0) return;
    const how = end?.code ?? end?.signal;
    throw new SutureError('SUT_BENCH', `${program.name} ended with ${how}: ${program.output}`);
  }

  /** Switch, core and shell, named after the lab: what they leave on the host must not meet another switch's. */
  async startSuture({ routes, switchConfig, shellConfig }: SutureConfig): Promise<Roles> {
    const { dataplane } = this.context;
    const gateway = await this.stage.startSwitch({ name: this.prefix, dataplane, ...switchConfig });
    const [core, shell] = await Promise.all([
      this.stage.startCore([...new Set(routes.flatMap((one) => one.core ?? []))]),
      this.stage.startShell(routes, shellConfig),
    ]);
    return { switch: gateway, core, shell };
  }
}

/** Makes the named labs, lets the body use them, and takes them down with all that was started in them. */
export async function withLabs<Name extends string, T>(
  context: BenchContext,
  plans: Readonly<Record<Name, LabPlan>>,
  body: (labs: Readonly<Record<Name, Lab>>, meter: CpuMeter) => Promise<T>,
): Promise<T> {
  await removeLeftovers();
  const folder = mkdtempSync(join(tmpdir(), `suture-bench-${process.pid}-`));
  const names = Object.keys(plans) as Name[];
  const prefixes = names.map((name) => `sutbench-${process.pid}-${name}`);
  const meter = new CpuMeter(context.clock);
  const labs = {} as Record<Name, Lab>;
  const work = async (): Promise<T> => {
    for (const [i, name] of names.entries()) {
      const prefix = prefixes[i] ?? '';
      context.signal.throwIfAborted();
      await labUp({ prefix, ...plans[name] });
      const lab = new Lab(prefix, mkdtempSync(join(folder, `${name}-`)), meter, context);
      labs[name] = lab;
      const setting = `net.ipv4.tcp_congestion_control=${CONGESTION_CONTROL}`;
      await Promise.all(LAB_HOSTS.map((host) => lab.tool(host, ['sysctl', '-qw', setting])));
    }
    return withNoise(context, meter, () => body(labs, meter));
  };
  const working = work();
  try {
    return await Promise.race([working, rejectOnAbort(context.signal)]);
  } finally {
    for (const name of names) await labs[name]?.stage.stop();
    // An interrupted run ends by itself once its programs have; nothing is made behind what is taken down.
    await working.catch(() => undefined);
    for (const name of names) await labs[name]?.stage.stop();
    for (const prefix of prefixes) await labDown({ prefix });
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Notes how much of the machine was not the benchmark's meanwhile. */
async function withNoise<T>(context: BenchContext, meter: CpuMeter, body: () => Promise<T>): Promise<T> {
  const [before, own] = [meter.sample(), process.cpuUsage()];
  const result = await body();
  const after = meter.sample();
  const { user, system } = process.cpuUsage(own);
  const others = cpuBetween(before, after).outside - (user + system) / 1e6 / (after.at - before.at);
  if (others > NOISE_CORES) {
    context.note(`other programs used ${others.toFixed(1)} cores meanwhile; do it again on a quiet machine`);
  }
  return result;
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  const interrupted = (): SutureError => new SutureError('SUT_BENCH', 'the benchmark was interrupted');
  return new Promise((_, reject) => {
    if (signal.aborted) reject(interrupted());
    signal.addEventListener('abort', () => reject(interrupted()), { once: true });
  });
}

/** Of a benchmark that was killed: its process is gone, and what still runs in its labs belongs to nobody. */
async function removeLeftovers(): Promise<void> {
  const prefixes = new Set<string>();
  for (const name of namespaces()) {
    const [, prefix, pid] = LEFTOVER.exec(name) ?? [];
    if (prefix !== undefined && !runs(Number(pid))) prefixes.add(prefix);
  }
  for (const prefix of prefixes) {
    const { hosts } = await labStatus({ prefix });
    for (const pid of hosts.flatMap(({ processes }) => processes)) kill(pid);
    await labDown({ prefix });
  }
  for (const name of readdirSync(tmpdir())) {
    const [, pid] = LEFTOVER_FOLDER.exec(name) ?? [];
    if (pid !== undefined && !runs(Number(pid)))
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function namespaces(): string[] {
  try {
    return readdirSync('/run/netns');
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
