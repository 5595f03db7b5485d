/** `suture demo`: the whole story in the lab, with a Java workload. */
import type { Command } from 'commander';
import type { Action, CliContext } from './context.js';
import { interruptible } from './interruptible.js';
import { printJson } from './output.js';

export function demoCommand(program: Command, context: CliContext, action: Action): void {
  program
    .command('demo')
    .description('the whole story in the lab, with a Java workload; takes everything down again')
    .option('--json', 'print one JSON document at the end')
    .action(action((options: { json?: boolean }) => demo(options, context)));
}

async function demo({ json = false }: { json?: boolean }, context: CliContext): Promise<number> {
  const { clock, signals, stdout, stderr } = context;
  const print = (line: string): void => void (json ? stderr : stdout).write(`${line}\n`);
  const { ok, document } = await interruptible(signals, async (signal) => {
    const runDemo = await context.programs.demo();
    return runDemo({ clock, signal, print });
  });
  if (json) printJson(stdout, document);
  return ok ? 0 : 1;
}
