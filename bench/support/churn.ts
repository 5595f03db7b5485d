/** One run of many short connections through the shell, as client, switch and processors saw it. */
import type { FlowDetail, FlowView } from '#suture/switch/admin-protocol.js';
import { type CpuSample, type CpuUse, cpuBetween } from './cpu.js';
import type { Lab } from './labs.js';

const FIRST_SAMPLE_MS = 200;
const SAMPLE_MS = 250;
const CLOSE_MS = 30_000;
/** Beyond the client's own limit, for its last connections. */
const SPARE_MS = 30_000;
const POLL_MS = 300;
/** Of the twenty marks: the beginning and the end of a run are not its middle. */
const [FROM_MARK, TO_MARK, MARKS] = [1, 17, 20];

export interface ChurnPlan {
  readonly count: number;
  readonly concurrency: number;
  readonly limitMs: number;
  /** Flows whose history is read afterwards, one by one. */
  readonly histories: number;
}

/** A connection that is not stitched by then ends all the same, and counts as not stitched. */
const HOLD_MS = 3000;

interface Latency {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface ChurnReport {
  readonly start: number;
  readonly opened: number;
  readonly completed: number;
  /** Held until the shell had let go of them. */
  readonly letGo: number;
  readonly failed: number;
  readonly ms: number;
  readonly lastError: string;
  readonly connectUs: Latency;
  readonly answerUs: Latency;
  readonly holdUs: Latency;
  readonly endUs: Latency;
  /** When each twentieth of the connections had ended, ms since the start. */
  readonly marks: readonly number[];
}

export interface Churned {
  readonly plan: ChurnPlan;
  readonly report: ChurnReport;
  readonly stitched: number;
  /** Connections that were opened, stitched and closed a second, in the middle of the run. */
  readonly rate: number;
  readonly cpu?: CpuUse;
  /** Milliseconds from one state to the next, of some flows. */
  readonly steps: Readonly<Record<string, readonly number[]>>;
}

export async function churn(
  lab: Lab,
  program: string,
  servers: readonly string[],
  plan: ChurnPlan,
): Promise<Churned> {
  const { count, concurrency, limitMs } = plan;
  const numbers = [count, concurrency, HOLD_MS, limitMs].map(String);
  const argv = [program, ...numbers, lab.namespace('a'), ...servers];
  const lines: string[] = [];
  const client = lab.start('client', 'e', argv, (line, stream) => {
    if (stream === 'stdout') lines.push(line);
  });
  const samples: CpuSample[] = [];
  await lab.clock.sleep(FIRST_SAMPLE_MS);
  const deadline = lab.clock.monotonic() + limitMs + SPARE_MS;
  while (client.running && lab.clock.monotonic() < deadline) {
    samples.push(lab.meter.sample());
    await lab.clock.sleep(SAMPLE_MS);
  }
  await lab.endedWell(client, SAMPLE_MS);
  const report = JSON.parse(lines[0] ?? '') as ChurnReport;
  const flows = await flowsSince(lab, report.start);
  const stitched = flows.filter(({ stitchedAt }) => stitchedAt !== undefined);
  const [first, last] = [samples[0], samples.at(-1)];
  return {
    plan,
    report,
    stitched: stitched.length,
    rate: middleRate(report) * Math.min(stitched.length / Math.max(report.completed, 1), 1),
    ...(first && last && first !== last && { cpu: cpuBetween(first, last) }),
    steps: await stepsOf(lab, stitched, plan.histories),
  };
}

/** Of a run that was cut short: all of it. */
function middleRate({ marks, completed, ms }: ChurnReport): number {
  const [from, to] = [marks[FROM_MARK], marks[TO_MARK]];
  if (from === undefined || to === undefined) return (completed * 1000) / ms;
  const inBetween = (completed * (TO_MARK - FROM_MARK)) / MARKS;
  return (inBetween * 1000) / (to - from);
}

/** All that were opened in this run, once they are over. */
async function flowsSince(lab: Lab, start: number): Promise<FlowView[]> {
  const since = new Date(Math.floor(start)).toISOString();
  const deadline = lab.clock.monotonic() + CLOSE_MS;
  for (;;) {
    const flows = (await lab.stage.admin.flows()).filter(({ openedAt }) => openedAt >= since);
    const open = flows.filter(({ state }) => !['closing', 'closed', 'broken'].includes(state));
    if (open.length === 0 || lab.clock.monotonic() > deadline) return flows;
    await lab.clock.sleep(POLL_MS);
  }
}

async function stepsOf(
  lab: Lab,
  flows: readonly FlowView[],
  histories: number,
): Promise<Record<string, number[]>> {
  const every = histories > 0 ? Math.max(1, Math.ceil(flows.length / histories)) : 1;
  const chosen = histories > 0 ? flows.filter((_, i) => i % every === 0) : [];
  const details: FlowDetail[] = [];
  for (const { id } of chosen) {
    const detail = await lab.stage.admin.flow(id).catch(() => undefined);
    if (detail) details.push(detail);
  }
  const steps: Record<string, number[]> = {};
  for (const { history } of details) {
    for (const [i, { state, at }] of history.entries()) {
      const before = history[i - 1];
      if (!before) continue;
      const key = `${before.state} → ${state}`;
      steps[key] = [...(steps[key] ?? []), Date.parse(at) - Date.parse(before.at)];
    }
  }
  return steps;
}
