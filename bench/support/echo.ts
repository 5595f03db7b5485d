/**
 * The echo programs: a server in B of each lab, and one client that goes round all rivals in slices, holding
 * sockets in the network namespace of each lab's E.
 *
 * Client and server have a processor each: which of them the scheduler would move when is not what is measured.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Program } from '#suture/lab/program.js';
import { endpointOf } from '#suture/lab/stage.js';
import { SutureError } from '#suture/platform/errors.js';
import { untilStitched } from './flows.js';
import type { Lab } from './labs.js';
import type { Rival } from './rivals.js';

export const ECHO_PORT = 5202;
const START_MS = 10_000;
const STITCH_MS = 30_000;
/** Beyond its own time, for a connection that hangs. */
const SPARE_MS = 30_000;
/** The scheduler's choice, where there is no second processor. */
const ANYWHERE = -1;

export interface EchoResult {
  readonly target: string;
  readonly rounds: number;
  /** Nanoseconds: quantiles 0, 0.01 … 1. */
  readonly points: readonly number[];
  readonly p999: number;
  /** Medians of the slices, in order. */
  readonly slices: readonly number[];
}

export interface EchoPlan {
  readonly programs: { readonly client: string; readonly server: string };
  readonly rounds: number;
  readonly connections: number;
  readonly ms: number;
  /** What the client is started by, if anything. */
  readonly by?: readonly string[];
  /** Done while the round trips are made; called when they begin. */
  readonly meanwhile?: () => Promise<void>;
}

function processor(index: number): string {
  return String(cpus().length > index ? index : ANYWHERE);
}

export async function startEchoServer(
  lab: Lab,
  program: string,
  where: 'own processor' | 'wherever' = 'own processor',
  by: readonly string[] = [],
): Promise<Program> {
  const cpu = where === 'wherever' ? String(ANYWHERE) : processor(1);
  const argv = [...by, program, endpointOf('b', ECHO_PORT), cpu];
  const started = lab.start('echo-server', 'b', argv);
  await started.line(/^ready$/, START_MS);
  return started;
}

let runs = 0;

/** One result a rival. The rivals that are to be stitched are so before the first round trip that counts. */
export async function echoRun(rivals: readonly Rival[], plan: EchoPlan): Promise<EchoResult[]> {
  const [first] = rivals;
  if (!first) return [];
  runs += 1;
  const go = join(first.lab.folder, `echo-go-${runs}`);
  const targets = rivals.map(
    ({ name, lab, address, port }) => `${name}=${lab.namespace('e')}@${address}:${port}`,
  );
  const numbers = [plan.rounds, plan.connections, plan.ms].map(String);
  const lines: string[] = [];
  const client = first.lab.start(
    'echo-client',
    'e',
    [...(plan.by ?? []), plan.programs.client, processor(0), ...numbers, go, ...targets],
    (line, stream) => {
      if (stream === 'stdout') lines.push(line);
    },
  );
  const opened = JSON.parse(await client.line(/^\{"open"/, STITCH_MS)) as {
    open: Readonly<Record<string, readonly string[]>>;
  };
  for (const { name, lab } of rivals) {
    if (name === 'stitched') await untilStitched(lab, new Set(opened.open[name]), STITCH_MS);
  }
  writeFileSync(go, '');
  await Promise.all([first.lab.endedWell(client, plan.ms + SPARE_MS), plan.meanwhile?.()]);
  const results = lines.slice(1).map((line) => JSON.parse(line) as EchoResult);
  return rivals.map(({ name }) => {
    const found = results.find(({ target }) => target === name);
    if (!found) throw new SutureError('SUT_BENCH', `echo-client reported nothing of ${name}`);
    return found;
  });
}
