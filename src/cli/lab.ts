/** `suture lab up | down | status | exec`: four hosts on one machine. */
import type { Command } from 'commander';
import type { Action, CliContext } from './context.js';
import { columns, printJson, printLines } from './output.js';

interface LabOptions {
  readonly json?: boolean;
}

export function labCommands(program: Command, context: CliContext, action: Action): void {
  const lab = program
    .command('lab')
    .description('four hosts on one machine, as network namespaces')
    .enablePositionalOptions();
  lab
    .command('up')
    .description('make the hosts, anew if they are there; starts no program')
    .option('--standby', 'with a second switch, suture-s2, on the same links')
    .option('--json', 'print one JSON document')
    .action(action((options: LabOptions & { standby?: boolean }) => up(options, context)));
  lab
    .command('down')
    .description('remove the hosts')
    .option('--json', 'print one JSON document')
    .action(action((options: LabOptions) => down(options, context)));
  lab
    .command('status')
    .description('which hosts are there')
    .option('--json', 'print one JSON document')
    .action(action((options: LabOptions) => status(options, context)));
  lab
    .command('exec')
    .description('run a program in a host (e, s, a or b), with its exit code')
    .usage('HOST -- COMMAND...')
    .argument('<host>')
    .argument('<command...>')
    .passThroughOptions()
    .action(action((host: string, argv: string[]) => exec(host, argv, context)));
}

async function exec(host: string, argv: readonly string[], context: CliContext): Promise<number> {
  const { labExec } = await context.programs.lab();
  // The separator is left in by commander, since the options that follow are passed through.
  return labExec(host, argv[0] === '--' ? argv.slice(1) : argv);
}

async function up({ standby, json }: LabOptions & { standby?: boolean }, context: CliContext): Promise<void> {
  const { labUp, labStatus } = await context.programs.lab();
  await labUp(standby ? { standby } : {});
  if (json) printJson(context.stdout, await labStatus());
  else printLines(context.stdout, ['the lab is up']);
}

async function down({ json }: LabOptions, context: CliContext): Promise<void> {
  const removed = await (await context.programs.lab()).labDown();
  if (json) printJson(context.stdout, { removed });
  else printLines(context.stdout, [removed ? 'the lab is down' : 'the lab was not up']);
}

async function status({ json }: LabOptions, context: CliContext): Promise<void> {
  const found = await (await context.programs.lab()).labStatus();
  if (json) return printJson(context.stdout, found);
  const rows = found.hosts.map(({ host, namespace, up: there, addresses, processes }) => [
    host,
    namespace,
    there ? 'up' : 'down',
    addresses.join(', ') || '-',
    processes.join(', ') || '-',
  ]);
  printLines(context.stdout, columns(['HOST', 'NAMESPACE', 'STATE', 'ADDRESSES', 'PROCESSES'], rows));
}
