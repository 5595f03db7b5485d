/** A result as lines for people. */
import { columns } from '#suture/cli/output.js';
import type { BenchDocument, BenchResult, Figure } from './document.js';
import { machineText } from './machine.js';
import { metText, spreadText, targetText, withUnit } from './text.js';

function figureRow({ what, unit, value, target, met }: Figure): string[] {
  return [
    what,
    withUnit(spreadText(value), unit),
    target ? withUnit(targetText(target), unit) : '',
    metText({ ...(met !== undefined && { met }) }),
  ];
}

export function resultLines(title: string, document: BenchDocument, { tables }: BenchResult): string[] {
  const { dataplane, machine, options, tookMs } = document;
  const took = `${(tookMs / 1000).toFixed(0)} s`;
  const lines = [
    title,
    `${options.runs} runs, ${options.seconds} s each, in ${took}; ${dataplane} data path`,
    machineText(machine),
  ];
  for (const { title: caption, headings, rows } of tables)
    lines.push('', caption, '', ...columns(headings, rows));
  if (document.figures.length > 0) {
    lines.push('', ...columns(['', 'MEDIAN (MIN … MAX)', 'TARGET', ''], document.figures.map(figureRow)));
  }
  if (document.notes.length > 0) lines.push('', ...document.notes.map((note) => `note: ${note}`));
  return lines;
}
