/** The README's table: every number to reach, as the latest runs measured it. Pure. */
import type { BenchDocument, Figure } from './document.js';
import { machineText } from './machine.js';
import { metText, spreadText, targetText, withUnit } from './text.js';

export const BEGIN = '<!-- bench: made by `suture bench NAME --save` -->';
export const END = '<!-- /bench -->';

export interface Run {
  readonly date: string;
  readonly document: BenchDocument;
}

/** In the order in which the README tells of them. */
const ORDER = ['throughput', 'latency', 'handover', 'rate', 'scale', 'restart', 'userspace'] as const;

function rank({ document: { bench } }: Run): number {
  const at = (ORDER as readonly string[]).indexOf(bench);
  return at < 0 ? ORDER.length : at;
}

function cells(values: readonly string[]): string {
  return `| ${values.join(' | ')} |`;
}

function row({ what, unit, value, target, met }: Figure): string {
  return cells([
    what,
    withUnit(spreadText(value), unit),
    target ? withUnit(targetText(target), unit) : '',
    metText({ ...(met !== undefined && { met }) }),
  ]);
}

/** Runs on one machine share a line about it. */
function sources(runs: readonly Run[]): string[] {
  const byMachine = new Map<string, string[]>();
  for (const { date, document } of runs) {
    const { bench, dataplane, machine, options } = document;
    const base = `bench/results/${date}-${bench}`;
    const times = `${options.runs} runs`;
    const source = `${bench} ([samples](${base}.json), [plot](${base}.svg); ${dataplane} data path, ${times}, ${date})`;
    const text = machineText(machine);
    byMachine.set(text, [...(byMachine.get(text) ?? []), source]);
  }
  return [...byMachine].map(([machine, list]) => `On ${machine}: ${list.join(', ')}.`);
}

function readmeTable(runs: readonly Run[]): string {
  const ordered = [...runs].sort((a, b) => rank(a) - rank(b));
  const figures = ordered.flatMap(({ document }) => document.figures.filter(({ target }) => target));
  const head = [cells(['what', 'median (min … max)', 'target', '']), cells(['---', '---', '---', '---'])];
  return [...head, ...figures.map(row), '', ...sources(ordered)].join('\n');
}

/** The text with the table between its markers; the same text when it has none. */
export function withReadmeTable(text: string, runs: readonly Run[]): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin || runs.length === 0) return text;
  return `${text.slice(0, begin + BEGIN.length)}\n\n${readmeTable(runs)}\n\n${text.slice(end)}`;
}
