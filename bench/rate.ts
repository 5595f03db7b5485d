/**
 * Short connections over the whole chain: opened by a client, paired and relayed by the shell, stitched, and closed
 * by both ends, as many a second as two processors carry with everything on them. Each sends 16 bytes and
 * gets them back, stays until it is stitched, and ends with a FIN.
 *
 * The client works on a fixed number of connections at a time; with how many of them the chain carries the most
 * is found out first.
 */
import { cpus } from 'node:os';
import { endpointOf, route } from '#suture/lab/stage.js';
import { type Churned, type ChurnPlan, churn } from './support/churn.js';
import type { BenchContext, Benchmark } from './support/context.js';
import { atLeast, type BenchResult, figure, type Table } from './support/document.js';
import { ECHO_PORT, startEchoServer } from './support/echo.js';
import { type Lab, withLabs } from './support/labs.js';
import { compileNative } from './support/native.js';
import type { BarsPanel, LinesPanel } from './support/plot/panel.js';
import { limitToTwoCores } from './support/processors.js';
import { mean, median, quantile, spreadOf } from './support/stats.js';
import { numberText, spreadText } from './support/text.js';

const TARGETS = { rate: atLeast(2000) };
const PORTS = [8001, 8002, 8003, 8004];
/** As many ended flows as the switch still tells of. */
const MOST = 9000;
const FEWEST = 500;
/** Connections at a time. */
const LADDER = [8, 16, 32, 64, 128, 256];
const STITCHED_SHARE = 0.995;
/** Connections of a trial, for each second of a run. */
const TRIAL_SHARE = 400;
const LIMIT_MS = 20_000;
const HISTORIES = 100;
/** Limits that protect a switch are not what is measured. */
const LIMITS = { flowsPerAgent: 1_000_000, requestsPerSecond: 1_000_000, halfOpen: 1_000_000 };

interface Samples {
  readonly calibration: readonly Churned[];
  readonly runs: readonly Churned[];
}

const benchmark: Benchmark = {
  name: 'rate',
  title: 'Connections opened, stitched and closed a second',
  runs: 5,
  seconds: 4,
  tools: ['gcc'],
  run: (context) =>
    withLabs(context, { suture: {} }, async ({ suture }) => {
      await limitToTwoCores(suture);
      await suture.tool('e', ['sh', '-c', 'echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range']);
      const [client, server] = await Promise.all([
        compileNative('churn', suture.folder),
        compileNative('echo-server', suture.folder),
      ]);
      await startEchoServer(suture, server, 'wherever');
      await suture.startSuture({
        routes: PORTS.map((port) => route(port, ECHO_PORT, 'now')),
        switchConfig: { limits: LIMITS },
        shellConfig: { ports: '10000-31999', limits: { connections: 20_000 } },
      });
      const { dataplane } = await suture.stage.admin.stats();
      return conclude(dataplane, await measure(context, suture, client));
    }),
};

export default benchmark;

async function measure(context: BenchContext, lab: Lab, program: string): Promise<Samples> {
  const servers = PORTS.map((port) => endpointOf('a', port));
  const once = (plan: ChurnPlan): Promise<Churned> => churn(lab, program, servers, plan);
  const trial = Math.round(TRIAL_SHARE * context.seconds);
  // Warms up; not looked at.
  await once({ count: trial, concurrency: 32, limitMs: LIMIT_MS, histories: 0 });
  const calibration: Churned[] = [];
  for (const concurrency of LADDER) {
    const tried = await once({ count: trial, concurrency, limitMs: LIMIT_MS, histories: 0 });
    calibration.push(tried);
    context.progress(`${concurrency} at a time: ${progressText(tried)}`);
  }
  const best = calibration.reduce((a, b) => (b.rate > a.rate ? b : a));
  const { concurrency } = best.plan;
  const wanted = Math.round(best.rate * context.seconds);
  const count = Math.min(Math.max(wanted, FEWEST), MOST);
  const limitMs = 4 * context.seconds * 1000 + LIMIT_MS;
  const runs: Churned[] = [];
  for (let run = 0; run < context.runs; run++) {
    const done = await once({ count, concurrency, limitMs, histories: HISTORIES });
    runs.push(done);
    context.progress(`run ${run + 1}/${context.runs}: ${progressText(done)}`);
  }
  return { calibration, runs };
}

function progressText({ rate, stitched, report }: Churned): string {
  const failed = report.failed > 0 ? `, ${report.failed} failed (${report.lastError})` : '';
  return `${numberText(rate)} a second, ${stitched} of ${report.completed} stitched${failed}`;
}

/** Exported for its test. */
export function conclude(dataplane: string, samples: Samples): BenchResult {
  const { calibration, runs } = samples;
  return {
    dataplane,
    figures: [
      figure(
        'rate',
        'connections opened, stitched and closed a second, 2 cores for everything',
        '/s',
        runs.map(({ rate }) => rate),
        TARGETS.rate,
      ),
      figure(
        'rate-stitched',
        'share of these connections that were stitched before they ended',
        '',
        runs.map(({ stitched, report }) => stitched / Math.max(report.completed, 1)),
      ),
    ],
    tables: [runsTable(runs), processorTable(runs), stepsTable(runs)],
    panels: [ratePanel(runs), ladderPanel(calibration), processorPanel(runs), stepsPanel(runs)],
    notes: notes(runs),
    samples,
  };
}

function runsTable(runs: readonly Churned[]): Table {
  const ms = (us: number): string => numberText(us / 1000);
  return {
    title: 'What the client saw; latencies in ms, median and 99 %',
    headings: [
      '>RUN',
      '>CONNECTIONS',
      '>A SECOND',
      '>STITCHED',
      '>FAILED',
      '>AT A TIME',
      '>CONNECT',
      '>ANSWER',
      '>UNTIL STITCHED',
      '>END',
    ],
    rows: runs.map(({ plan, report, rate, stitched }, i) => [
      String(i + 1),
      String(report.completed),
      numberText(rate),
      String(stitched),
      String(report.failed),
      String(plan.concurrency),
      ...[report.connectUs, report.answerUs, report.holdUs, report.endUs].map(
        ({ p50, p99 }) => `${ms(p50)} / ${ms(p99)}`,
      ),
    ]),
  };
}

/** Cores of each program, run by run. */
function programs(runs: readonly Churned[]): [name: string, cores: number[]][] {
  const used = runs.flatMap(({ cpu }) => (cpu ? [cpu] : []));
  const names = new Set(used.flatMap((cpu) => Object.keys(cpu.programs)));
  const rows: [string, number[]][] = [...names].map((name) => [
    name,
    used.map((cpu) => cpu.programs[name] ?? 0),
  ]);
  rows.push(['kernel, by no program', used.map(({ kernel }) => kernel)]);
  rows.push(['all', used.map(({ all }) => all)]);
  return rows.filter(([, cores]) => median(cores) >= 0.005);
}

/** Microseconds of a processor for each connection. */
function perConnection(runs: readonly Churned[], cores: readonly number[]): number[] {
  const rates = runs.filter(({ cpu }) => cpu).map(({ rate }) => rate);
  return cores.map((value, i) => (value * 1e6) / (rates[i] ?? Number.NaN));
}

function processorTable(runs: readonly Churned[]): Table {
  return {
    title: `Where the time goes, on ${Math.min(cpus().length, 2)} cores`,
    headings: ['HOST/PROGRAM', '>CORES', '>µS A CONNECTION'],
    rows: programs(runs).map(([name, cores]) => [
      name,
      spreadText(spreadOf(cores)),
      numberText(median(perConnection(runs, cores))),
    ]),
  };
}

function steps(runs: readonly Churned[]): [name: string, ms: number[]][] {
  const names = new Set(runs.flatMap((one) => Object.keys(one.steps)));
  return [...names].map((name) => [name, runs.flatMap((one) => one.steps[name] ?? [])]);
}

function stepsTable(runs: readonly Churned[]): Table {
  return {
    title: "From one state of a flow to the next, ms, by the switch's clock",
    headings: ['STEP', '>MEAN', '>MEDIAN', '>99 %', '>FLOWS'],
    rows: steps(runs).map(([name, ms]) => [
      name,
      numberText(mean(ms)),
      numberText(median(ms)),
      numberText(quantile(ms, 0.99)),
      String(ms.length),
    ]),
  };
}

function ratePanel(runs: readonly Churned[]): BarsPanel {
  const values = runs.map(({ rate }) => rate);
  return {
    kind: 'bars',
    title: 'Connections opened, stitched and closed',
    unit: 'a second',
    bars: [{ name: 'stitched', values }],
    mark: { at: TARGETS.rate.value, label: 'target' },
  };
}

function ladderPanel(calibration: readonly Churned[]): LinesPanel {
  return {
    kind: 'lines',
    title: 'By the number of connections at a time',
    xLabel: 'connections at a time',
    yLabel: 'a second',
    xLog: true,
    series: [{ name: 'stitched', points: calibration.map(({ plan, rate }) => [plan.concurrency, rate]) }],
  };
}

function processorPanel(runs: readonly Churned[]): BarsPanel {
  const bars = programs(runs).map(([name, cores]) => ({ name, values: perConnection(runs, cores) }));
  return { kind: 'bars', title: 'Processor for each connection', unit: 'µs', bars };
}

function stepsPanel(runs: readonly Churned[]): BarsPanel {
  const bars = steps(runs).map(([name, ms]) => ({ name, values: [mean(ms)] }));
  return { kind: 'bars', title: 'From one state of a flow to the next, mean', unit: 'ms', bars };
}

function notes(runs: readonly Churned[]): string[] {
  return runs.flatMap(({ report, stitched }, i) => {
    const found: string[] = [];
    if (report.failed > 0)
      found.push(`run ${i + 1}: ${report.failed} connections failed (${report.lastError})`);
    if (stitched < STITCHED_SHARE * report.completed) {
      found.push(`run ${i + 1}: ${report.completed - stitched} connections ended before they were stitched`);
    }
    return found;
  });
}
