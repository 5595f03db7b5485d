/**
 * Runs one benchmark by its name: looks for what it needs first, then measures, and makes of it the document, the
 * lines for people and, when asked, the files in bench/results and the README's table.
 *
 * The command line loads this file from dist/bench, and nothing else of it.
 */
import type { BenchOutcome, BenchRequest } from '#suture/cli/programs.js';
import { packageVersion } from '#suture/cli/version.js';
import { PACKAGE_ROOT } from '#suture/lab/stage.js';
import type { Benchmark } from './support/context.js';
import { type BenchDocument, DOCUMENT_FORMAT } from './support/document.js';
import { machineFacts } from './support/machine.js';
import { resultLines } from './support/render.js';
import { saveRun } from './support/results.js';
import { requireTools } from './support/tools.js';

async function load(name: string): Promise<Benchmark> {
  return ((await import(`./${name}.js`)) as { default: Benchmark }).default;
}

export async function runBench(name: string, request: BenchRequest): Promise<BenchOutcome> {
  const { clock, signal, progress, save } = request;
  const benchmark = await load(name);
  requireTools(name, benchmark.tools);
  const machine = await machineFacts();
  const options = {
    runs: request.runs ?? benchmark.runs,
    seconds: request.seconds ?? benchmark.seconds,
    dataplane: benchmark.dataplane ?? request.dataplane,
  };
  const [startedAt, start] = [clock.wall(), clock.monotonic()];
  const notes: string[] = [];
  const note = (text: string): void => void notes.push(text);
  const result = await benchmark.run({ clock, signal, progress, note, ...options });
  const document: BenchDocument = {
    bench: name,
    format: DOCUMENT_FORMAT,
    version: packageVersion(),
    startedAt: new Date(startedAt).toISOString(),
    tookMs: Math.round(clock.monotonic() - start),
    options,
    dataplane: result.dataplane,
    machine,
    figures: result.figures,
    notes: [...result.notes, ...notes],
    samples: result.samples,
  };
  const saved = save ? saveRun(PACKAGE_ROOT, benchmark.title, document, result.panels) : [];
  for (const path of saved) progress(`wrote ${path}`);
  return { document, lines: resultLines(benchmark.title, document, result) };
}
