/**
 * What the commands run, imported when it is run: `suture flows` should not wait for gRPC or an addon to load.
 * Each is adapted here, and nowhere else, to what its command needs.
 */
import type { DiscoveryResult } from '../midcom/discovery/client.js';
import type { SystemClock } from '../platform/clock.js';
import type { CoreConfig, ShellConfig, SwitchConfig } from '../platform/config/index.js';
import type { Running } from '../platform/lifecycle.js';
import type { Logger } from '../platform/log.js';

export interface RoleContext<Config> {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: SystemClock;
}

type StartRole<Config> = (context: RoleContext<Config>) => Promise<Running>;

export interface DemoContext {
  readonly clock: SystemClock;
  /** Aborts when the demo is to end and to take everything down. */
  readonly signal: AbortSignal;
  /** One line for people. */
  readonly print: (line: string) => void;
}

export interface DemoResult {
  readonly ok: boolean;
  /** What `--json` prints. */
  readonly document: unknown;
}

export interface BenchRequest {
  readonly clock: SystemClock;
  /** Aborts when the benchmark is to end and to take everything down. */
  readonly signal: AbortSignal;
  /** One line for people, on the way. */
  readonly progress: (line: string) => void;
  /** Default: the benchmark's own. */
  readonly runs?: number;
  readonly seconds?: number;
  readonly dataplane: 'auto' | 'kernel' | 'userspace';
  /** Keeps the result in bench/results. */
  readonly save: boolean;
}

export interface BenchOutcome {
  /** What `--json` prints. */
  readonly document: unknown;
  readonly lines: readonly string[];
}

export type RunBench = (name: string, request: BenchRequest) => Promise<BenchOutcome>;

export interface DiscoverContext {
  readonly clock: SystemClock;
  readonly log: Logger;
  readonly port: number;
}

export interface Programs {
  switch(): Promise<StartRole<SwitchConfig>>;
  shell(): Promise<StartRole<ShellConfig>>;
  core(): Promise<StartRole<CoreConfig>>;
  discover(): Promise<(options: DiscoverContext) => Promise<DiscoveryResult>>;
  lab(): Promise<Pick<typeof import('../lab/lab.js'), 'labUp' | 'labDown' | 'labStatus' | 'labExec'>>;
  demo(): Promise<(options: DemoContext) => Promise<DemoResult>>;
  bench(): Promise<RunBench>;
}

/** Built from bench/, which stands beside src and is no part of it: its name is not for the compiler. */
const BENCH_MODULE: string = '../bench/main.js';

export const programs: Programs = {
  switch: async () => (await import('../switch/main.js')).startSwitch,
  shell: async () => (await import('../shell/main.js')).startShell,
  core: async () => (await import('../core/main.js')).startCore,
  discover: async () => (await import('../midcom/discovery/client.js')).discover,
  lab: () => import('../lab/lab.js'),
  demo: async () => (await import('../lab/demo.js')).runDemo,
  bench: async () => ((await import(BENCH_MODULE)) as { runBench: RunBench }).runBench,
};
