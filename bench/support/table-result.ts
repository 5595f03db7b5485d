/** From samples of the table's benchmark to its figures, tables and plot. */
import { atMost, type BenchResult, type Figure, figure, type Table } from './document.js';
import type { BarsPanel } from './plot/panel.js';
import { median, quantile, spreadOf } from './stats.js';
import type { FillReport } from './table-fill.js';
import type { Looks } from './table-looks.js';
import type { Start } from './table-starts.js';
import type { Traffic } from './table-traffic.js';
import { numberText, spreadText, tickText } from './text.js';

const TARGETS = { start: atMost(3), lost: atMost(0) };

export interface TrafficStart extends Start {
  readonly traffic: Traffic;
}

export interface TableSamples {
  readonly flows: number;
  readonly fill: FillReport;
  /** Nothing was left in the kernel. */
  readonly restored: readonly Start[];
  /** The kernel's flows were still there. */
  readonly adopted: readonly Start[];
  readonly underTraffic: readonly TrafficStart[];
  readonly looks: readonly Looks[];
  /** Of the switch's process at the end, MiB. */
  readonly memoryMiB: number;
}

const seconds = (starts: readonly Start[]): number[] => starts.map((start) => start.seconds);

export function conclude(dataplane: string, samples: TableSamples): BenchResult {
  return {
    dataplane,
    figures: figures(samples),
    tables: [startTable(samples), writeTable(samples.fill), lookTable(samples)],
    panels: [startPanel(samples)],
    notes: notes(samples),
    samples,
  };
}

function figures({ flows, fill, restored, adopted, underTraffic, looks, memoryMiB }: TableSamples): Figure[] {
  const many = tickText(flows);
  const perSecond = (runs: readonly number[]): number[] => runs.map((value) => fill.flows / value);
  return [
    figure(
      'table-restore',
      `start to ready, ${many} flows in Redis, none in the kernel`,
      's',
      seconds(restored),
      TARGETS.start,
    ),
    figure(
      'table-adopt',
      `start to ready, ${many} flows in Redis and in the kernel`,
      's',
      seconds(adopted),
      TARGETS.start,
    ),
    figure('table-traffic', 'the same under traffic', 's', seconds(underTraffic), TARGETS.start),
    figure(
      'table-lost',
      'segments sent again while the switch process was killed and started under traffic',
      '',
      underTraffic.map(({ traffic }) => traffic.sentAgain),
      TARGETS.lost,
    ),
    figure('table-write', 'flows written to Redis a second', '/s', perSecond(fill.write)),
    figure('table-secure', 'from a change to its confirmation, median', 'ms', [
      median(fill.secureMicros) / 1000,
    ]),
    figure('table-bytes', 'memory of Redis per flow', 'bytes', [fill.bytes.used]),
    figure('table-memory', `memory of the switch with ${many} flows`, 'MiB', [memoryMiB]),
    figure(
      'table-list',
      `GET /flows with ${many} flows`,
      'ms',
      looks.map(({ flows: ms }) => ms),
    ),
  ];
}

function startTable({ restored, adopted, underTraffic }: TableSamples): Table {
  const row = (name: string, starts: readonly (Start & { traffic?: Traffic })[]): string[] => {
    const of = (value: (traffic: Traffic) => number): string => {
      const values = starts.flatMap(({ traffic }) => (traffic ? [value(traffic)] : []));
      return values.length > 0 ? spreadText(spreadOf(values)) : '-';
    };
    return [
      name,
      spreadText(spreadOf(seconds(starts))),
      spreadText(spreadOf(starts.map(({ memoryMiB }) => memoryMiB))),
      of(({ roundTrips }) => roundTrips),
      of(({ worstMs }) => worstMs),
      of(({ sentAgain }) => sentAgain),
    ];
  };
  return {
    title: "From the start of the switch's process until it serves; median (min … max)",
    headings: ['FLOWS IN THE KERNEL', '>SECONDS', '>MIB', '>ROUND TRIPS', '>WORST MS', '>SENT AGAIN'],
    rows: [
      row('none: all restored', restored),
      row('all: taken over', adopted),
      row('all, under traffic', underTraffic),
    ],
  };
}

function writeTable({ flows, write, change, secureMicros, bytes }: FillReport): Table {
  const rate = (runs: readonly number[]): string => spreadText(spreadOf(runs.map((value) => flows / value)));
  const micros = [0.5, 0.99, 1].map((share) => numberText(quantile(secureMicros, share)));
  return {
    title: 'Redis: batched writes under the lease, one change confirmed, memory',
    headings: [
      '>NEW /S',
      '>CHANGED /S',
      '>CONFIRMED µS, 50 / 99 / 100 %',
      '>BYTES A FLOW',
      '>OF IT IN THE SET',
    ],
    rows: [[rate(write), rate(change), micros.join(' / '), numberText(bytes.used), numberText(bytes.inSet)]],
  };
}

function lookTable({ looks }: TableSamples): Table {
  const of = (name: keyof Looks): string => spreadText(spreadOf(looks.map((look) => look[name])));
  return {
    title: 'To look at it, ms; and the longest wait of another request meanwhile',
    headings: ['>GET /FLOWS', '>GET /FLOWS/ID', '>GET /STATS', '>SUTURE FLOWS', '>WAIT'],
    rows: [[of('flows'), of('flow'), of('stats'), of('list'), of('wait')]],
  };
}

function startPanel({ flows, restored, adopted, underTraffic }: TableSamples): BarsPanel {
  return {
    kind: 'bars',
    title: `Start to ready with ${tickText(flows)} flows`,
    unit: 's',
    bars: [
      { name: 'restored from Redis', values: seconds(restored) },
      { name: 'taken over', values: seconds(adopted) },
      { name: 'taken over, under traffic', values: seconds(underTraffic) },
    ],
    mark: { at: TARGETS.start.value, label: 'target' },
  };
}

function notes({ flows, restored, adopted, underTraffic }: TableSamples): string[] {
  const found: string[] = [];
  const check = (what: string, starts: readonly Start[], counter: string): void => {
    for (const [i, start] of starts.entries()) {
      const count = start.found[counter] ?? 0;
      if (count < flows) found.push(`${what}, run ${i + 1}: only ${count} flows were ${counter}`);
    }
  };
  check('nothing in the kernel', restored, 'restored');
  check('all in the kernel', adopted, 'adopted');
  check('under traffic', underTraffic, 'adopted');
  for (const [i, { traffic }] of underTraffic.entries()) {
    if (!traffic.covers) found.push(`under traffic, run ${i + 1}: the traffic ended before the start did`);
  }
  return found;
}
