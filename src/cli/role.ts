/** `suture switch|shell|core -c FILE`: runs one role until it is told to stop. */
import type { Command } from 'commander';
import { type Configs, loadConfig, printConfig, type Role } from '../platform/config/index.js';
import { SutureError } from '../platform/errors.js';
import { runUntilSignal } from '../platform/lifecycle.js';
import { createLog, type Logger } from '../platform/log.js';
import { type AdminOptions, adminClient } from './admin-options.js';
import type { Action, CliContext } from './context.js';

interface RoleOptions {
  readonly config: string;
  readonly printConfig?: boolean;
}

const DESCRIPTIONS: Readonly<Record<Role, string>> = {
  switch: 'run the gateway between a shell and everyone else',
  shell: 'run the proxy side: accept, relay, and have connections stitched',
  core: 'run the agent beside the workload',
};

export function roleCommands(program: Command, context: CliContext, action: Action): void {
  for (const role of ['switch', 'shell', 'core'] as const) {
    const command = program
      .command(role)
      .description(`${DESCRIPTIONS[role]}; SIGTERM drains, a second one stops at once`)
      .option('--print-config', 'print the config with all defaults filled in, and end');
    if (role === 'switch') switchCommand(command, context, action);
    else {
      command
        .requiredOption('-c, --config <file>', 'the YAML file to run with')
        .action(action((options: RoleOptions) => runRole(role, options, context)));
    }
  }
}

/** Also tells a running standby to become the active switch of its group. */
function switchCommand(command: Command, context: CliContext, action: Action): void {
  command
    .option('-c, --config <file>', 'the YAML file to run with')
    .option('--promote', 'have the standby that runs here become the active switch of its group, and end')
    .option('--admin <unix:PATH>', 'with --promote: admin socket of that switch')
    .action(
      action((options: Partial<RoleOptions> & { readonly promote?: boolean } & AdminOptions) => {
        if (options.promote) return promote(options, context);
        const { config } = options;
        if (config === undefined)
          throw new SutureError('SUT_USAGE', 'give a config with -c FILE, or --promote');
        return runRole('switch', { ...options, config }, context);
      }),
    );
}

async function promote(options: AdminOptions, context: CliContext): Promise<void> {
  const { name, table } = await (await adminClient(options, context)).promote();
  context.stdout.write(`${name} is the active switch of group ${table.group ?? ''}\n`);
}

async function runRole(role: Role, options: RoleOptions, context: CliContext): Promise<void> {
  const config = loadConfig(role, options.config);
  if (options.printConfig) {
    context.stdout.write(printConfig(role, config));
    return;
  }
  const { env, clock, signals, programs } = context;
  const log = createLog({ level: config.log.level, fields: { role, name: config.name }, env });
  warnOfOpenControl(config, log);
  const start = await programs[role]();
  // The config and the program belong to the same role; the compiler can not follow that through a union.
  const startAny = start as (options: object) => ReturnType<typeof start>;
  await runUntilSignal(() => startAny({ config, log, clock }), { log, clock, signals });
}

/** An agent can not tell who answers it. (The switch warns of its own side when its service starts.) */
function warnOfOpenControl(config: Configs[Role], log: Logger): void {
  if (!('switch' in config) || config.auth.mode !== 'none') return;
  const address = config.switch === 'discover' ? '' : config.switch.address;
  if (address === '::1' || address.startsWith('127.')) return;
  log.warn({ auth: 'none' }, 'auth is none: the switch is not verified; use it on a trusted network only');
}
