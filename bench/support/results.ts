/** bench/results: one document and one plot a benchmark and day; the latest of each is what the README shows. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BenchDocument, DOCUMENT_FORMAT } from './document.js';
import { compactJson } from './json.js';
import { machineLines } from './machine.js';
import { drawPlot } from './plot/draw.js';
import type { Panel } from './plot/panel.js';
import { withReadmeTable } from './readme.js';

const FILE = /^(\d{4}-\d{2}-\d{2})-([a-z]+)\.json$/;

export interface SavedRun {
  readonly date: string;
  readonly document: BenchDocument;
}

function baseName({ bench, startedAt }: Pick<BenchDocument, 'bench' | 'startedAt'>): string {
  return `${startedAt.slice(0, 10)}-${bench}`;
}

/** The paths of what was written: the document, the plot, and the README if it had a place for the table. */
export function saveRun(
  root: string,
  title: string,
  document: BenchDocument,
  panels: readonly Panel[],
): string[] {
  const folder = join(root, 'bench/results');
  mkdirSync(folder, { recursive: true });
  const base = join(folder, baseName(document));
  const about = `${document.startedAt.slice(0, 10)}, ${document.options.runs} runs, ${document.dataplane} data path`;
  writeFileSync(`${base}.json`, `${compactJson(document)}\n`);
  writeFileSync(`${base}.svg`, drawPlot(title, [about, ...machineLines(document.machine)], panels));
  return [`${base}.json`, `${base}.svg`, ...refreshReadme(root)];
}

/** The latest run of each benchmark. */
export function latestRuns(folder: string): SavedRun[] {
  const latest = new Map<string, SavedRun>();
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  for (const name of names) {
    const [, date = '', bench = ''] = FILE.exec(name) ?? [];
    if (bench === '') continue;
    const document = JSON.parse(readFileSync(join(folder, name), 'utf8')) as BenchDocument;
    if (document.format === DOCUMENT_FORMAT) latest.set(bench, { date, document });
  }
  return [...latest.values()];
}

/** The path of the README when its table has changed. */
export function refreshReadme(root: string): string[] {
  const path = join(root, 'README.md');
  const before = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const after = withReadmeTable(before, latestRuns(join(root, 'bench/results')));
  if (after === before) return [];
  writeFileSync(path, after);
  return [path];
}
