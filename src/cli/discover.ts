/** `suture discover`: asks the neighbours of this host for a switch. Exit 3 when none can be used. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { DISCOVERY_PORT } from '../platform/config/index.js';
import { createLog } from '../platform/log.js';
import { formatEndpoint } from '../wire/endpoint.js';
import type { Action, CliContext } from './context.js';
import { pairs, printJson, printLines } from './output.js';

const NOT_AVAILABLE = 3;

interface DiscoverOptions {
  readonly json?: boolean;
  readonly port: number;
}

export function discoverCommand(program: Command, context: CliContext, action: Action): void {
  program
    .command('discover')
    .description('look for a switch one hop away; exit 0 when there is one, 3 when not, with the reason')
    .addOption(portOption())
    .option('--json', 'print one JSON document')
    .action(action((options: DiscoverOptions) => discover(options, context)));
}

function portOption(): Option {
  return new Option('--port <port>', 'UDP port of discovery, as in the configs')
    .default(DISCOVERY_PORT)
    .argParser((text) => {
      const port = Number(text);
      if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
      throw new InvalidArgumentError('A port number, 1 to 65535, is expected.');
    });
}

async function discover({ json, port }: DiscoverOptions, context: CliContext): Promise<number> {
  const { clock, env, stdout } = context;
  const search = await context.programs.discover();
  const result = await search({ clock, port, log: createLog({ level: 'silent', env }) });
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
