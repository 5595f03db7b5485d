#!/usr/bin/env node
/**
 * `suture`: the one binary. Each command is a file of its own, and imports what it runs only when it runs.
 *
 * Standard output holds what was asked for and nothing else; with `--json` that is one JSON document, an
 * error's included. Exit codes: 0 done, 1 failed, 2 wrong usage or config, 3 not available.
 */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import { asSutureError, exitCodeOf, SutureError } from '../platform/errors.js';
import { errorView } from '../switch/admin-protocol.js';
import { agentsCommand } from './agents.js';
import { benchCommand } from './bench.js';
import { type Action, type CliContext, processContext } from './context.js';
import { demoCommand } from './demo.js';
import { discoverCommand } from './discover.js';
import { doctorCommand } from './doctor.js';
import { flowCommands } from './flows.js';
import { labCommands } from './lab.js';
import { errorText, printJson } from './output.js';
import { roleCommands } from './role.js';
import { statsCommand } from './stats.js';
import { packageVersion } from './version.js';

/** Runs one command; `argv` without the names of node and the script. Resolves to the exit code. */
export async function main(argv: readonly string[], context: CliContext): Promise<number> {
  let exitCode = 0;
  const action: Action =
    (body) =>
    async (...args) => {
      const result = await body(...args);
      exitCode = typeof result === 'number' ? result : 0;
    };
  try {
    await buildProgram(context, action).parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    const error = thrown instanceof CommanderError ? usageError(thrown) : asSutureError(thrown);
    context.stderr.write(errorText(error));
    if (wantsJson(argv)) printJson(context.stdout, errorView(error));
    return exitCodeOf(error);
  }
}

function buildProgram(context: CliContext, action: Action): Command {
  const program = new Command('suture');
  // What holds for all commands has to be set before they are made, since they copy it.
  program
    .description('takes a proxy out of the path of TCP connections that are already running')
    .version(packageVersion())
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      writeErr: (text) => void context.stderr.write(text),
      // Its complaints are printed like any other error, with their code.
      outputError: () => {},
    });
  roleCommands(program, context, action);
  discoverCommand(program, context, action);
  flowCommands(program, context, action);
  agentsCommand(program, context, action);
  statsCommand(program, context, action);
  doctorCommand(program, context, action);
  labCommands(program, context, action);
  demoCommand(program, context, action);
  benchCommand(program, context, action);
  return program;
}

function usageError(error: CommanderError): SutureError {
  return new SutureError('SUT_USAGE', usageText(error), { cause: error });
}

function usageText({ code, message }: CommanderError): string {
  // The command was named without the subcommand that it needs: the help was printed instead.
  if (code === 'commander.help') return 'no command was given; --help lists them';
  // A suggestion is on a line of its own.
  const text = message.replace(/^error: /, '').replace(/\.?\n/, ' ');
  // `flows ID`: an unknown command of a group looks like an argument of its default one.
  return code === 'commander.excessArguments' ? text.replace(/\.$/, '; --help lists what there is') : text;
}

/** Asked of the arguments, since wrong usage is found before there are options to ask. */
function wantsJson(argv: readonly string[]): boolean {
  if (argv[0] === 'lab' && argv[1] === 'exec') return false;
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? argv.length : end).includes('--json');
}

function isProgram(): boolean {
  const script = process.argv[1];
  return script !== undefined && realpathSync(script) === fileURLToPath(import.meta.url);
}

if (isProgram()) {
  // Whoever read the output has had enough (`suture flows | head`): that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  const exitCode = await main(process.argv.slice(2), processContext());
  // What a pipe has not taken yet would be lost with the process: a long list, to a slow reader.
  await new Promise((resolve) => process.stdout.write('', resolve));
  // An explicit exit: a role that was stopped at once may leave sockets that would keep the process.
  process.exit(exitCode);
}
