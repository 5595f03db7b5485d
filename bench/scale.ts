/**
 * One stitched connection beside up to a million others in the table: its throughput and its round trip, how long
 * it takes to put the others there, and the kernel's memory for each. Plain routing is measured beside it at every
 * size, so that what changed with the machine is not taken for what changed with the table.
 */

import { addressOf, route } from '#suture/lab/stage.js';
import type { BenchContext, Benchmark } from './support/context.js';
import { atLeast, atMost, type BenchResult, type Figure, figure, type Table } from './support/document.js';
import { ECHO_PORT, type EchoPlan, type EchoResult, echoRun, startEchoServer } from './support/echo.js';
import { IPERF_PORT, startIperfServer, transfer } from './support/iperf.js';
import { type Lab, withLabs } from './support/labs.js';
import { compileNative } from './support/native.js';
import type { LinesPanel } from './support/plot/panel.js';
import type { Rival, RivalName } from './support/rivals.js';
import { median, ratios, rotated, spreadOf } from './support/stats.js';
import { SYNTHETIC_CONFIG, type SyntheticFlows, syntheticFlows } from './support/synthetic.js';
import { numberText, spreadText, tickText } from './support/text.js';

const SIZES = [1, 10_000, 100_000, 1_000_000];
const TARGETS = { throughput: atLeast(0.9), memory: atMost(640) };
const STITCHED_IPERF = 7001;
const STITCHED_ECHO = 7002;
const ROUNDS = 200;
const CONNECTIONS = 8;

const COMPARED = ['routed', 'stitched'] as const;
type Compared = (typeof COMPARED)[number];

export interface SizeSamples {
  readonly flows: number;
  readonly insertSeconds: number | null;
  readonly bytesPerFlow: number | null;
  readonly mbit: Readonly<Record<Compared, number[]>>;
  readonly echo: Readonly<Record<Compared, EchoResult[]>>;
}

const benchmark: Benchmark = {
  name: 'scale',
  title: 'One stitched connection beside many others in the table',
  runs: 5,
  seconds: 2,
  tools: ['iperf3', 'gcc'],
  run: (context) =>
    withLabs(context, { plain: {}, suture: {} }, async ({ plain, suture }) => {
      const programs = {
        client: await compileNative('echo-client', suture.folder),
        server: await compileNative('echo-server', suture.folder),
      };
      for (const lab of [plain, suture]) {
        await startIperfServer(lab);
        await startEchoServer(lab, programs.server);
      }
      const routes = [route(STITCHED_IPERF, IPERF_PORT, 'now'), route(STITCHED_ECHO, ECHO_PORT, 'now')];
      await suture.startSuture({ routes, switchConfig: SYNTHETIC_CONFIG });
      const { dataplane } = await suture.stage.admin.stats();
      const synthetic = await syntheticFlows(suture, dataplane);
      return conclude(dataplane, await measure(context, { plain, suture }, programs, synthetic));
    }),
};

export default benchmark;

interface Labs {
  readonly plain: Lab;
  readonly suture: Lab;
}

function rivals({ plain, suture }: Labs, corePort: number, stitchedPort: number): Rival[] {
  const rival = (name: RivalName, lab: Lab, host: 'a' | 'b', port: number): Rival => ({
    name,
    lab,
    address: addressOf(host, 4),
    port,
  });
  return [rival('routed', plain, 'b', corePort), rival('stitched', suture, 'a', stitchedPort)];
}

async function measure(
  context: BenchContext,
  labs: Labs,
  programs: EchoPlan['programs'],
  synthetic: SyntheticFlows | undefined,
): Promise<SizeSamples[]> {
  const sizes = synthetic ? SIZES : SIZES.slice(0, 1);
  const all: SizeSamples[] = [];
  let present = 1;
  for (const flows of sizes) {
    const missing = flows - present;
    const inserted = missing > 0 ? await synthetic?.insertSynthetic(missing) : undefined;
    present = flows;
    const memory = inserted && (await synthetic?.kernelMemory());
    const samples: SizeSamples = {
      flows,
      insertSeconds: inserted?.seconds ?? null,
      bytesPerFlow: memory ? memory.bytes / Math.max(memory.flows, 1) : null,
      mbit: { routed: [], stitched: [] },
      echo: { routed: [], stitched: [] },
    };
    for (let run = 0; run < context.runs; run++) await measureOnce(context, labs, programs, samples, run);
    all.push(samples);
    context.progress(`${tickText(flows)} flows: ${progressText(samples)}`);
  }
  return all;
}

async function measureOnce(
  { seconds }: BenchContext,
  labs: Labs,
  programs: EchoPlan['programs'],
  samples: SizeSamples,
  run: number,
): Promise<void> {
  for (const rival of rotated(rivals(labs, IPERF_PORT, STITCHED_IPERF), run)) {
    const { mbit } = await transfer(rival.lab, rival, { streams: 1, seconds });
    samples.mbit[rival.name as Compared].push(mbit);
  }
  const ms = Math.round(1000 * seconds);
  const plan = { programs, rounds: ROUNDS, connections: CONNECTIONS, ms };
  const [routed, stitched] = await echoRun(rivals(labs, ECHO_PORT, STITCHED_ECHO), plan);
  if (routed) samples.echo.routed.push(routed);
  if (stitched) samples.echo.stitched.push(stitched);
}

function progressText({ mbit, echo }: SizeSamples): string {
  const shown = COMPARED.map(
    (name) =>
      `${name} ${numberText(median(mbit[name]))} Mbit/s, ${numberText(median(micros(echo[name], 0.5)))} µs`,
  );
  return shown.join('; ');
}

function micros(results: readonly EchoResult[], share: number): number[] {
  return results.map(({ points }) => (points[Math.round(share * (points.length - 1))] ?? Number.NaN) / 1000);
}

/** Beside plain routing, run by run. */
function relative({ mbit }: SizeSamples): number[] {
  return ratios(mbit.stitched, mbit.routed);
}

/** Exported for its test. */
export function conclude(dataplane: string, samples: readonly SizeSamples[]): BenchResult {
  const largest = samples.at(-1);
  const complete = largest?.flows === SIZES.at(-1);
  return {
    dataplane,
    figures: complete ? figures(samples) : [],
    tables: [table(samples)],
    panels: [throughputPanel(samples), latencyPanel(samples)],
    notes: complete ? [] : [`the ${dataplane} data path takes no synthetic flows: one flow was measured`],
    samples,
  };
}

function figures(samples: readonly SizeSamples[]): Figure[] {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last) return [];
  const median50 = (size: SizeSamples): number[] =>
    ratios(micros(size.echo.stitched, 0.5), micros(size.echo.routed, 0.5));
  return [
    figure(
      'scale-throughput',
      'throughput with 1,000,000 flows in the table / with one',
      '',
      ratios(relative(last), relative(first)),
      TARGETS.throughput,
    ),
    figure(
      'scale-latency',
      'round trip with 1,000,000 flows in the table / with one',
      '',
      ratios(median50(last), median50(first)),
    ),
    figure(
      'scale-memory',
      'kernel memory per flow',
      'bytes',
      [last.bytesPerFlow ?? Number.NaN],
      TARGETS.memory,
    ),
    figure('scale-insert', 'time to put 900,000 flows there', 's', [last.insertSeconds ?? Number.NaN]),
  ];
}

function table(samples: readonly SizeSamples[]): Table {
  const orNone = (value: number | null): string => (value === null ? '-' : numberText(value));
  return {
    title: 'Throughput and round trip of one stitched connection, median of the runs (min … max)',
    headings: [
      '>FLOWS',
      '>MBIT/S',
      '>/ ROUTED',
      '>P50 µS',
      '>P99 µS',
      '>P50 / ROUTED',
      '>INSERTED IN S',
      '>BYTES A FLOW',
    ],
    rows: samples.map((size) => [
      tickText(size.flows),
      spreadText(spreadOf(size.mbit.stitched)),
      numberText(median(relative(size))),
      ...[0.5, 0.99].map((share) => spreadText(spreadOf(micros(size.echo.stitched, share)))),
      numberText(median(ratios(micros(size.echo.stitched, 0.5), micros(size.echo.routed, 0.5)))),
      orNone(size.insertSeconds),
      orNone(size.bytesPerFlow),
    ]),
  };
}

function bySize(
  samples: readonly SizeSamples[],
  value: (size: SizeSamples, name: Compared) => number,
): LinesPanel['series'] {
  return COMPARED.map((name) => ({
    name,
    points: samples.map((size) => [size.flows, value(size, name)] as const),
  }));
}

function throughputPanel(samples: readonly SizeSamples[]): LinesPanel {
  return {
    kind: 'lines',
    title: 'Throughput of one connection',
    xLabel: 'flows in the table',
    yLabel: 'Gbit/s',
    xLog: true,
    series: bySize(samples, ({ mbit }, name) => median(mbit[name]) / 1000),
  };
}

function latencyPanel(samples: readonly SizeSamples[]): LinesPanel {
  return {
    kind: 'lines',
    title: 'Round trip, median',
    xLabel: 'flows in the table',
    yLabel: 'µs',
    xLog: true,
    series: bySize(samples, ({ echo }, name) => median(micros(echo[name], 0.5))),
  };
}
