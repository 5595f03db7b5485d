/** `suture bench NAME`: the numbers to reach, measured. */
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import type { Action, CliContext } from './context.js';
import { interruptible } from './interruptible.js';
import { printJson, printLines } from './output.js';
import type { BenchRequest } from './programs.js';

const BENCH_NAMES = [
  'throughput',
  'latency',
  'handover',
  'rate',
  'scale',
  'restart',
  'table',
  'userspace',
] as const;

interface BenchOptions {
  readonly runs?: number;
  readonly seconds?: number;
  readonly dataplane: BenchRequest['dataplane'];
  readonly save?: boolean;
  readonly json?: boolean;
}

export function benchCommand(program: Command, context: CliContext, action: Action): void {
  program
    .command('bench')
    .description('measure, in labs of its own; takes everything down again')
    .addArgument(new Argument('<name>', 'what to measure').choices(BENCH_NAMES))
    .option('--runs <n>', 'how often everything is repeated; 5 at least for a number that counts', runCount)
    .option('--seconds <s>', 'length of one measurement', duration)
    .addOption(
      new Option('--dataplane <which>', "the switch's data path")
        .choices(['auto', 'kernel', 'userspace'])
        .default('auto'),
    )
    .option('--save', 'keep samples and plot in bench/results, and bring the table of the README up to date')
    .option('--json', 'print one JSON document with all samples')
    .action(action((name: string, options: BenchOptions) => bench(name, options, context)));
}

function runCount(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('expected a number from 1 to 9999');
}

function duration(text: string): number {
  const seconds = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && seconds >= 0.5 && seconds <= 3600) return seconds;
  throw new InvalidArgumentError('expected a number of seconds from 0.5 to 3600');
}

async function bench(name: string, options: BenchOptions, context: CliContext): Promise<void> {
  const { json = false, save = false, ...rest } = options;
  const { clock, signals, stdout, stderr } = context;
  const progress = (line: string): void => void stderr.write(`${line}\n`);
  const { document, lines } = await interruptible(signals, async (signal) => {
    const runBench = await context.programs.bench();
    return runBench(name, { ...rest, save, clock, signal, progress });
  });
  if (json) printJson(stdout, document);
  else printLines(stdout, lines);
}
