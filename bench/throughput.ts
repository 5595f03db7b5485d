/**
 * One and sixteen TCP streams from E to B, by every rival in turn: Mbit/s at the receiver, and how much of a core
 * each Gbit/s takes. Also what a stitched transfer still costs the shell, which should be nothing.
 */
import type { BenchContext, Benchmark } from './support/context.js';
import type { CpuUse } from './support/cpu.js';
import { atLeast, atMost, type BenchResult, type Figure, figure, type Table } from './support/document.js';
import { FlowLog, type StitchCheck } from './support/flows.js';
import { IPERF_PORT, startIperfServer, transfer } from './support/iperf.js';
import { withLabs } from './support/labs.js';
import type { BarsPanel } from './support/plot/panel.js';
import { type Field, RIVAL_LABS, RIVALS, type RivalName, startRivals } from './support/rivals.js';
import { median, ratios, rotated, spreadOf } from './support/stats.js';
import { numberText, spreadText } from './support/text.js';

const STREAMS = [1, 16] as const;
type Streams = (typeof STREAMS)[number];

const TARGETS = { routed: atLeast(1), haproxy: atLeast(2.2), shellCpu: atMost(0.01), shellBytes: atMost(0) };

interface Sample {
  readonly mbit: number;
  readonly retransmissions: number;
  readonly cpu: CpuUse;
  /** Of a stitched transfer. */
  readonly flows?: StitchCheck;
}

type Samples = Readonly<Record<Streams, Record<RivalName, Sample[]>>>;

const benchmark: Benchmark = {
  name: 'throughput',
  title: 'Throughput of one and of sixteen streams, by rival',
  runs: 5,
  seconds: 3,
  tools: ['iperf3', 'haproxy', 'nginx'],
  run: (context) =>
    withLabs(context, RIVAL_LABS, async (labs) => {
      const field = await startRivals(labs, IPERF_PORT);
      await Promise.all(Object.values(labs).map(startIperfServer));
      const { dataplane } = await labs.suture.stage.admin.stats();
      return conclude(dataplane, await measure(context, field));
    }),
};

export default benchmark;

function emptySamples(): Samples {
  const empty = (): Record<RivalName, Sample[]> =>
    Object.fromEntries(RIVALS.map((name) => [name, [] as Sample[]])) as unknown as Record<
      RivalName,
      Sample[]
    >;
  return { 1: empty(), 16: empty() };
}

async function measure({ runs, seconds, progress }: BenchContext, { rivals }: Field): Promise<Samples> {
  const samples = emptySamples();
  const log = new FlowLog(stitchedLab(rivals));
  for (let run = 0; run < runs; run++) {
    for (const streams of STREAMS) {
      for (const rival of rotated(rivals, run)) {
        const done = await transfer(rival.lab, rival, { streams, seconds });
        const flows = rival.name === 'stitched' ? await log.check() : undefined;
        samples[streams][rival.name].push({ ...done, ...(flows && { flows }) });
        progress(
          `run ${run + 1}/${runs}, ${streams} streams, ${rival.name}: ${numberText(done.mbit)} Mbit/s`,
        );
      }
    }
  }
  return samples;
}

function stitchedLab(rivals: Field['rivals']): Field['rivals'][number]['lab'] {
  const stitched = rivals.find(({ name }) => name === 'stitched');
  if (!stitched) throw new Error('no rival is stitched');
  return stitched.lab;
}

function mbits(samples: Samples, streams: Streams, name: RivalName): number[] {
  return samples[streams][name].map(({ mbit }) => mbit);
}

/** Exported for its test. */
export function conclude(dataplane: string, samples: Samples): BenchResult {
  return {
    dataplane,
    figures: figures(samples),
    tables: STREAMS.map((streams) => table(samples, streams)),
    panels: [
      ...STREAMS.map((streams) => throughputPanel(samples, streams)),
      ...STREAMS.map((streams) => costPanel(samples, streams)),
    ],
    notes: notes(samples),
    samples,
  };
}

function figures(samples: Samples): Figure[] {
  const named = (streams: Streams): string => (streams === 1 ? '1 stream' : `${streams} streams`);
  const over = (streams: Streams, other: RivalName): number[] =>
    ratios(mbits(samples, streams, 'stitched'), mbits(samples, streams, other));
  const stitched = STREAMS.flatMap((streams) => samples[streams].stitched);
  return [
    ...STREAMS.map((streams) =>
      figure(
        `throughput-routed-${streams}`,
        `throughput, stitched / plain routing, ${named(streams)}`,
        '',
        over(streams, 'routed'),
        TARGETS.routed,
      ),
    ),
    ...STREAMS.map((streams) =>
      figure(
        `throughput-haproxy-${streams}`,
        `throughput, stitched / HAProxy with splice, ${named(streams)}`,
        '',
        over(streams, 'haproxy'),
        TARGETS.haproxy,
      ),
    ),
    ...STREAMS.map((streams) =>
      figure(
        `throughput-ceiling-${streams}`,
        `throughput, the two ends on a cable / HAProxy with splice, ${named(streams)}`,
        '',
        ratios(mbits(samples, streams, 'cable'), mbits(samples, streams, 'haproxy')),
      ),
    ),
    figure(
      'shell-bytes',
      'bytes of a stitched flow that crossed the shell',
      'bytes',
      stitched.map(({ flows }) => flows?.bytesToShell ?? 0),
      TARGETS.shellBytes,
    ),
    figure(
      'shell-cpu',
      'CPU of the shell while its flows are stitched',
      'cores',
      stitched.map(({ cpu }) => cpu.programs['a/shell'] ?? 0),
      TARGETS.shellCpu,
    ),
  ];
}

function perGbit(samples: readonly Sample[], cores: (cpu: CpuUse) => number): number[] {
  return samples.map(({ mbit, cpu }) => cores(cpu) / (mbit / 1000));
}

function table(samples: Samples, streams: Streams): Table {
  const own = samples[streams];
  const cost = (name: RivalName, cores: (cpu: CpuUse) => number): string =>
    numberText(median(perGbit(own[name], cores)));
  const all = (name: RivalName): number[] => perGbit(own[name], (cpu) => cpu.all);
  const overCable = (name: RivalName): string => {
    const cable = all('cable');
    return numberText(median(all(name).map((cores, run) => cores - (cable[run] ?? Number.NaN))));
  };
  return {
    title: `${streams} ${streams === 1 ? 'stream' : 'streams'}: Mbit/s, median (min … max), and cores per Gbit/s`,
    headings: [
      'RIVAL',
      '>MBIT/S',
      '>STITCHED IS',
      '>ALL',
      '>OVER CABLE',
      '>PROGRAMS OF A',
      '>OF S',
      '>OF E AND B',
      '>KERNEL',
      '>RETRANS',
    ],
    rows: RIVALS.map((name) => [
      name,
      spreadText(spreadOf(mbits(samples, streams, name))),
      `× ${numberText(median(ratios(mbits(samples, streams, 'stitched'), mbits(samples, streams, name))))}`,
      numberText(median(all(name))),
      overCable(name),
      cost(name, ({ hosts }) => hosts.a),
      cost(name, ({ hosts }) => hosts.s),
      cost(name, ({ hosts }) => hosts.e + hosts.b),
      cost(name, ({ kernel }) => kernel),
      numberText(median(own[name].map(({ retransmissions }) => retransmissions))),
    ]),
  };
}

function throughputPanel(samples: Samples, streams: Streams): BarsPanel {
  const bars = RIVALS.map((name) => ({
    name,
    values: mbits(samples, streams, name).map((mbit) => mbit / 1000),
  }));
  return {
    kind: 'bars',
    title: `Throughput, ${streams} ${streams === 1 ? 'stream' : 'streams'}`,
    unit: 'Gbit/s',
    bars,
  };
}

function costPanel(samples: Samples, streams: Streams): BarsPanel {
  const bars = RIVALS.map((name) => ({ name, values: perGbit(samples[streams][name], ({ all }) => all) }));
  return {
    kind: 'bars',
    title: `Processor, all hosts together, ${streams} ${streams === 1 ? 'stream' : 'streams'}`,
    unit: 'cores per Gbit/s',
    bars,
  };
}

function notes(samples: Samples): string[] {
  const found: string[] = [];
  for (const streams of STREAMS) {
    for (const [run, { flows }] of samples[streams].stitched.entries()) {
      if (flows && flows.stitched < flows.flows) {
        found.push(
          `run ${run + 1}, ${streams} streams: ${flows.flows - flows.stitched} of ${flows.flows} flows were not stitched`,
        );
      }
    }
  }
  return found;
}
