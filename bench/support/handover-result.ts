/** The handover benchmark's samples as figures, tables and plots. Pure. */
import type { Kind, Sample, Samples } from '../handover.js';
import { atMost, type BenchResult, type Figure, figure, type Table } from './document.js';
import type { LinesPanel } from './plot/panel.js';
import { distribution, median, quantile } from './stats.js';
import { numberText } from './text.js';

const TARGETS = { retrans: atMost(0), pause: atMost(5), broken: atMost(0) };

type Judged = Sample & Required<Pick<Sample, 'view' | 'times'>>;

export function conclude(dataplane: string, samples: Samples): BenchResult {
  return {
    dataplane,
    figures: figures(samples),
    tables: [table('No loss', samples.clean), table('1 % of packets lost on each leg', samples.lossy)],
    panels: [
      pausePanel('Longest pause of a receiver around the handover', samples.clean, {
        at: TARGETS.pause.value,
        label: 'target',
      }),
      retransPanel('Segments sent again around the handover', samples.clean),
      pausePanel('Longest pause of a receiver around the handover, 1 % loss', samples.lossy),
    ],
    notes: notes(samples),
    samples,
  };
}

function judged(samples: readonly Sample[], kind: Kind): Judged[] {
  return samples.filter(
    (sample): sample is Judged =>
      sample.kind === kind && sample.view !== undefined && sample.times !== undefined,
  );
}

const sentAgain = ({ view: { retrans } }: Judged): number => retrans.e + retrans.b + retrans.a;
const pause = ({ view }: Judged): number => Math.max(view.pause.e, view.pause.b);
const elsewhere = ({ view }: Judged): number => Math.max(view.elsewhere.pauseE, view.elsewhere.pauseB);

function figures({ clean, lossy }: Samples): Figure[] {
  const cut = judged(clean, 'handover');
  const broken = ({ faults }: Sample): number => (faults.length > 0 ? 1 : 0);
  const count = (samples: readonly Sample[]): number => samples.reduce((sum, one) => sum + broken(one), 0);
  return [
    figure(
      'handover-retrans',
      `segments sent again because of a handover at full speed, ${cut.length} handovers`,
      '',
      cut.map(sentAgain),
      TARGETS.retrans,
    ),
    figure(
      'handover-pause',
      'longest pause of a receiver around a handover',
      'ms',
      cut.map(pause),
      TARGETS.pause,
    ),
    figure('handover-broken', 'transfers with a wrong byte, or broken', '', [count(clean)], TARGETS.broken),
    figure(
      'handover-broken-lossy',
      'the same with 1 % of packets lost on each leg',
      '',
      [count(lossy)],
      TARGETS.broken,
    ),
  ];
}

function table(title: string, samples: readonly Sample[]): Table {
  const kinds = [...new Set(samples.map(({ kind }) => kind))];
  const spans = (list: readonly number[], digits = 1): string =>
    list.length === 0 ? '-' : [0.5, 0.9, 1].map((share) => quantile(list, share).toFixed(digits)).join(' / ');
  return {
    title: `${title}: median / 90 % / most; pauses in ms`,
    headings: [
      'TRANSFER',
      '>N',
      '>GBIT/S UP',
      '>DOWN',
      '>CLAMP',
      '>DRAIN',
      '>SENT AGAIN',
      '>NONE IN',
      '>PAUSE AT E',
      '>PAUSE AT B',
      '>ELSEWHERE',
    ],
    rows: kinds.map((kind) => {
      const all = samples.filter((sample) => sample.kind === kind);
      const own = judged(samples, kind);
      const isCut = kind === 'handover';
      const none = own.filter((sample) => sentAgain(sample) === 0).length;
      return [
        kind,
        String(own.length),
        numberText(median(all.map(({ up }) => up / 1e9))),
        numberText(median(all.map(({ down }) => down / 1e9))),
        isCut
          ? spans(
              own.map(({ times }) => times.cutting - times.clamping),
              0,
            )
          : '',
        isCut
          ? spans(
              own.map(({ times }) => times.stitched - times.cutting),
              0,
            )
          : '',
        spans(own.map(sentAgain), 0),
        `${none} of ${own.length}`,
        spans(own.map(({ view }) => view.pause.e)),
        spans(own.map(({ view }) => view.pause.b)),
        spans(own.map(elsewhere)),
      ];
    }),
  };
}

function linesOf(samples: readonly Sample[], value: (sample: Judged) => number): LinesPanel['series'] {
  const kinds = [...new Set(samples.map(({ kind }) => kind))];
  return kinds.map((kind) => {
    const points = distribution(judged(samples, kind).map(value));
    return { name: kind, points: [[points[0]?.[0] ?? 0, 0], ...points] };
  });
}

function pausePanel(title: string, samples: readonly Sample[], mark?: LinesPanel['mark']): LinesPanel {
  return {
    kind: 'lines',
    title,
    xLabel: 'ms, the longer one of E and B',
    yLabel: 'share',
    xLog: true,
    steps: true,
    series: linesOf(samples, pause),
    ...(mark && { mark }),
  };
}

function retransPanel(title: string, samples: readonly Sample[]): LinesPanel {
  return {
    kind: 'lines',
    title,
    xLabel: 'segments sent again by E, A and B',
    yLabel: 'share',
    steps: true,
    series: linesOf(samples, sentAgain),
  };
}

function notes({ clean, lossy }: Samples): string[] {
  const all = [...clean, ...lossy];
  const wrong = all.flatMap(({ kind, run, faults }) => faults.map((fault) => `${kind} ${run + 1}: ${fault}`));
  const unstitched = (samples: readonly Sample[], what: string): string[] => {
    const cut = samples.filter(({ kind }) => kind === 'handover');
    const count = cut.length - judged(samples, 'handover').length;
    return count > 0
      ? [`${count} of ${cut.length} transfers ${what} were not stitched in time, and are left out`]
      : [];
  };
  return [...wrong, ...unstitched(clean, 'without loss'), ...unstitched(lossy, 'with loss')];
}
