/** What a measurement has to be read with: the machine, its kernel, and the programs that were compared. */
import { cpus, release, totalmem } from 'node:os';
import { run } from '#suture/platform/process.js';

export interface MachineFacts {
  readonly kernel: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly node: string;
  /** By name; undefined of what is not installed. */
  readonly programs: Readonly<Record<string, string>>;
}

/** How each tells its version, and where in the answer it stands. */
const VERSIONS: readonly (readonly [name: string, argv: readonly string[], pattern: RegExp])[] = [
  ['haproxy', ['haproxy', '-v'], /version (\S+)/],
  ['nginx', ['nginx', '-v'], /nginx\/(\S+)/],
  ['iperf3', ['iperf3', '--version'], /iperf (\S+)/],
  ['gcc', ['gcc', '--version'], /^gcc.*? (\S+)$/m],
  ['nft', ['nft', '--version'], /v(\S+)/],
];

async function versionOf(argv: readonly string[], pattern: RegExp): Promise<string | undefined> {
  const [program = '', ...args] = argv;
  try {
    const { stdout, stderr } = await run(program, args);
    return pattern.exec(stdout + stderr)?.[1];
  } catch {
    return undefined;
  }
}

export async function machineFacts(): Promise<MachineFacts> {
  const entries = await Promise.all(
    VERSIONS.map(async ([name, argv, pattern]) => [name, await versionOf(argv, pattern)] as const),
  );
  const processors = cpus();
  return {
    kernel: release(),
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cpus: processors.length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    node: process.version,
    programs: Object.fromEntries(
      entries.filter((entry): entry is [string, string] => entry[1] !== undefined),
    ),
  };
}

/** The machine, and the programs. */
export function machineLines(facts: MachineFacts): [machine: string, programs: string] {
  const { kernel, cpu, cpus: count, memoryMiB, node, programs } = facts;
  const versions = Object.entries(programs).map(([name, version]) => `${name} ${version}`);
  const machine = `${count} × ${cpu}, ${(memoryMiB / 1024).toFixed(0)} GiB, Linux ${kernel}`;
  return [machine, [`Node ${node}`, ...versions].join(', ')];
}

export function machineText(facts: MachineFacts): string {
  return machineLines(facts).join(', ');
}
