/**
 * Round trips of a 64-byte echo between E and B, by every rival in turns of a few milliseconds, so that whatever
 * the machine does at a moment it does to all of them. Each run has new connections, several a rival: which
 * processor works for a connection depends on its addresses.
 */
import type { BenchContext, Benchmark } from './support/context.js';
import { atMost, type BenchResult, type Figure, figure, type Table } from './support/document.js';
import { ECHO_PORT, type EchoPlan, type EchoResult, echoRun, startEchoServer } from './support/echo.js';
import { withLabs } from './support/labs.js';
import { compileNative } from './support/native.js';
import type { LinesPanel } from './support/plot/panel.js';
import { type Field, RIVAL_LABS, RIVALS, type RivalName, startRivals } from './support/rivals.js';
import { median, ratios, spreadOf } from './support/stats.js';
import { numberText, spreadText } from './support/text.js';

const ROUNDS = 200;
const CONNECTIONS = 32;
const TARGETS = { p50: atMost(1.05), p99: atMost(1.2) };

/** Run by run. */
type Samples = Record<RivalName, EchoResult[]>;

const benchmark: Benchmark = {
  name: 'latency',
  title: 'Round trip of a 64-byte echo, by rival',
  runs: 7,
  // Of each rival, in each run.
  seconds: 3,
  tools: ['haproxy', 'nginx', 'gcc'],
  run: (context) =>
    withLabs(context, RIVAL_LABS, async (labs) => {
      const { folder } = labs.suture;
      const [client, server] = await Promise.all([
        compileNative('echo-client', folder),
        compileNative('echo-server', folder),
      ]);
      await Promise.all(Object.values(labs).map((lab) => startEchoServer(lab, server)));
      const field = await startRivals(labs, ECHO_PORT);
      const { dataplane } = await labs.suture.stage.admin.stats();
      return conclude(dataplane, await measure(context, field, { client, server }));
    }),
};

export default benchmark;

async function measure(
  { runs, seconds, progress }: BenchContext,
  { rivals }: Field,
  programs: EchoPlan['programs'],
): Promise<Samples> {
  const ms = Math.round(seconds * 1000 * rivals.length);
  const samples = Object.fromEntries(RIVALS.map((name) => [name, []])) as unknown as Samples;
  for (let run = 0; run < runs; run++) {
    const results = await echoRun(rivals, { programs, rounds: ROUNDS, connections: CONNECTIONS, ms });
    for (const [i, { name }] of rivals.entries()) {
      const result = results[i];
      if (result) samples[name].push(result);
    }
    const shown = RIVALS.map((name) => `${name} ${numberText(micros(samples[name].slice(-1), 0.5)[0] ?? 0)}`);
    progress(`run ${run + 1}/${runs}, median µs: ${shown.join(', ')}`);
  }
  return samples;
}

/** A quantile of each run, in microseconds; 0.999 and whole percents are known. */
function micros(results: readonly EchoResult[], share: number): number[] {
  return results.map(({ points, p999 }) => {
    const value = share === 0.999 ? p999 : points[Math.round(share * (points.length - 1))];
    return (value ?? Number.NaN) / 1000;
  });
}

/** Exported for its test. */
export function conclude(dataplane: string, samples: Samples): BenchResult {
  return {
    dataplane,
    figures: [ratioFigure(samples, 0.5, TARGETS.p50), ratioFigure(samples, 0.99, TARGETS.p99)],
    tables: [table(samples)],
    panels: [panel(samples)],
    notes: [],
    samples,
  };
}

function ratioFigure(samples: Samples, share: number, target: Figure['target']): Figure {
  const name = share === 0.5 ? 'p50' : 'p99';
  const values = ratios(micros(samples.stitched, share), micros(samples.routed, share));
  return figure(`latency-${name}`, `round trip, stitched / plain routing, ${name}`, '', values, target);
}

function table(samples: Samples): Table {
  return {
    title: 'Round trip in µs, median of the runs (min … max)',
    headings: ['RIVAL', '>P50', '>P99', '>P99.9', '>MAX', '>P50 / ROUTED', '>P99 / ROUTED', '>ROUND TRIPS'],
    rows: RIVALS.map((name) => {
      const own = samples[name];
      const ratio = (share: number): string =>
        numberText(median(ratios(micros(own, share), micros(samples.routed, share))));
      return [
        name,
        ...[0.5, 0.99].map((share) => spreadText(spreadOf(micros(own, share)))),
        ...[0.999, 1].map((share) => numberText(median(micros(own, share)))),
        ratio(0.5),
        ratio(0.99),
        numberText(own.reduce((sum, { rounds }) => sum + rounds, 0)),
      ];
    }),
  };
}

/** Each quantile as the median of the runs has it; the last percent would only stretch the axis. */
function panel(samples: Samples): LinesPanel {
  return {
    kind: 'lines',
    title: 'Distribution of the round trip',
    xLabel: 'µs',
    yLabel: 'share',
    xLog: true,
    series: RIVALS.map((name) => ({
      name,
      points: Array.from({ length: 100 }, (_, percent) => {
        const share = percent / 100;
        return [median(micros(samples[name], share)), share] as const;
      }),
    })),
  };
}
