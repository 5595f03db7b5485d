/** `suture discover`: asks the neighbours of this host for a switch. Exit 3 when none can be used. */
import type { Command } from 'commander';
import { createLog } from '../platform/log.js';
import { formatEndpoint } from '../wire/endpoint.js';
import type { Action, CliContext } from './context.js';
import { pairs, printJson, printLines } from './output.js';

const NOT_AVAILABLE = 3;

export function discoverCommand(program: Command, context: CliContext, action: Action): void {
  program
    .command('discover')
    .description('look for a switch one hop away; exit 0 when there is one, 3 when not, with the reason')
    .option('--json', 'print one JSON document')
    .action(action((options: { json?: boolean }) => discover(options, context)));
}

async function discover({ json }: { json?: boolean }, context: CliContext): Promise<number> {
  const { clock, env, stdout } = context;
  const search = await context.programs.discover();
  const result = await search({ clock, log: createLog({ level: 'silent', env }) });
  if (!result.available) {
    if (json) printJson(stdout, result);
    else printLines(stdout, [`not available: ${result.message}`]);
    return NOT_AVAILABLE;
  }
  const control = formatEndpoint(result.control);
  if (json) {
    printJson(stdout, { ...result, control });
  } else {
    const lines = pairs([
      ['switch', result.switch],
      ['control', control],
      ['interface', result.interface],
      ['can', result.capabilities.join(', ')],
    ]);
    printLines(stdout, ['available', ...lines]);
  }
  return 0;
}
