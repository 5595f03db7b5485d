/**
 * The userspace data path, one TCP stream from E to B through a stitched flow: Mbit/s, packets a second, and the
 * processor of the packet thread, beside plain routing in the same run. Twice: with packets of 1500 bytes on
 * every link (segmentation offload off at the ends), and with the super-frames that virtual interfaces carry.
 */
import { addressOf, route } from '#suture/lab/stage.js';
import type { BenchContext, Benchmark } from './support/context.js';
import { atLeast, type BenchResult, figure, type Table } from './support/document.js';
import { FlowLog } from './support/flows.js';
import { IPERF_PORT, startIperfServer, transfer } from './support/iperf.js';
import { type Lab, withLabs } from './support/labs.js';
import type { BarsPanel } from './support/plot/panel.js';
import { spreadOf } from './support/stats.js';
import { numberText, spreadText } from './support/text.js';

const TARGETS = { packets: atLeast(60_000), mbit: atLeast(500) };
const STITCHED_PORT = 7001;
const FRAMES = { small: '1500-byte packets', super: 'super-frames' } as const;
type Frames = keyof typeof FRAMES;

interface Sample {
  readonly routedMbit: number;
  readonly mbit: number;
  /** Read by the switch, a second. */
  readonly packets: number;
  /** Of the switch's packet thread. */
  readonly cores: number;
  readonly flows: number;
  readonly stitched: number;
}

type Samples = Readonly<Record<Frames, readonly Sample[]>>;

const benchmark: Benchmark = {
  name: 'userspace',
  title: 'The userspace data path: one stream through a stitched flow',
  runs: 5,
  seconds: 3,
  tools: ['iperf3', 'ethtool'],
  dataplane: 'userspace',
  run: (context) =>
    withLabs(context, { plain: {}, suture: {} }, async ({ plain, suture }) => {
      await Promise.all([plain, suture].map(startIperfServer));
      await suture.startSuture({ routes: [route(STITCHED_PORT, IPERF_PORT, 'now')] });
      const log = new FlowLog(suture);
      const samples = {
        small: await measure(context, plain, suture, log, 'small'),
        super: await measure(context, plain, suture, log, 'super'),
      };
      return conclude('userspace', samples);
    }),
};

export default benchmark;

async function measure(
  { runs, seconds, progress }: BenchContext,
  plain: Lab,
  suture: Lab,
  log: FlowLog,
  frames: Frames,
): Promise<Sample[]> {
  const offload = frames === 'super' ? 'on' : 'off';
  for (const lab of [plain, suture]) {
    for (const host of ['e', 'b'] as const) {
      await lab.tool(host, ['ethtool', '-K', 'eth0', 'tso', offload, 'gso', offload]);
    }
  }
  const samples: Sample[] = [];
  for (let run = 0; run < runs; run++) {
    const direct = { address: addressOf('b', 4), port: IPERF_PORT };
    const routed = await transfer(plain, direct, { streams: 1, seconds });
    const sample = { routedMbit: routed.mbit, ...(await stitchedRun(suture, log, seconds)) };
    samples.push(sample);
    const shown = `${numberText(sample.mbit)} Mbit/s, ${numberText(sample.packets)} packets a second`;
    progress(`run ${run + 1}/${runs}, ${FRAMES[frames]}: ${shown}; routed ${numberText(routed.mbit)} Mbit/s`);
  }
  return samples;
}

async function stitchedRun(lab: Lab, log: FlowLog, seconds: number): Promise<Omit<Sample, 'routedMbit'>> {
  const received = async (): Promise<number> =>
    (await lab.stage.admin.stats()).counters['dataplane.received'] ?? 0;
  const before = { count: await received(), at: lab.clock.monotonic() };
  const shell = { address: addressOf('a', 4), port: STITCHED_PORT };
  const { mbit, cpu } = await transfer(lab, shell, { streams: 1, seconds });
  const packets = ((await received()) - before.count) / ((lab.clock.monotonic() - before.at) / 1000);
  const { flows, stitched } = await log.check();
  return { mbit, packets, cores: cpu.programs['s/switch, main thread'] ?? Number.NaN, flows, stitched };
}

/** Exported for its test. */
export function conclude(dataplane: string, samples: Samples): BenchResult {
  const { small } = samples;
  return {
    dataplane,
    figures: [
      figure(
        'userspace-mbit',
        'userspace path, 1500-byte packets',
        'Mbit/s',
        small.map(({ mbit }) => mbit),
        TARGETS.mbit,
      ),
      figure(
        'userspace-packets',
        'userspace path, 1500-byte packets, acks included',
        'packets/s',
        small.map(({ packets }) => packets),
        TARGETS.packets,
      ),
    ],
    tables: [table(samples)],
    panels: [panel(samples, 'small'), panel(samples, 'super')],
    notes: notes(samples),
    samples,
  };
}

function table(samples: Samples): Table {
  const columns = (frames: Frames, pick: (sample: Sample) => number): string =>
    spreadText(spreadOf(samples[frames].map(pick)));
  return {
    title: 'One stream, median of the runs (min … max)',
    headings: ['', '>ROUTED MBIT/S', '>STITCHED MBIT/S', '>PACKETS READ /S', '>CORES OF THE PACKET THREAD'],
    rows: (['small', 'super'] as const).map((frames) => [
      FRAMES[frames],
      columns(frames, ({ routedMbit }) => routedMbit),
      columns(frames, ({ mbit }) => mbit),
      columns(frames, ({ packets }) => packets),
      columns(frames, ({ cores }) => cores),
    ]),
  };
}

function panel(samples: Samples, frames: Frames): BarsPanel {
  return {
    kind: 'bars',
    title: `One stream, ${FRAMES[frames]}`,
    unit: 'Mbit/s',
    bars: [
      { name: 'routed', values: samples[frames].map(({ routedMbit }) => routedMbit) },
      { name: 'stitched', values: samples[frames].map(({ mbit }) => mbit) },
    ],
    ...(frames === 'small' && { mark: { at: TARGETS.mbit.value, label: 'target' } }),
  };
}

function notes({ small, super: large }: Samples): string[] {
  const all = [...small, ...large];
  const missing = all.reduce((sum, { flows, stitched }) => sum + flows - stitched, 0);
  return missing > 0 ? [`${missing} flows were not stitched`] : [];
}
