/** `suture doctor`: what this host can do, what is missing, and the mend for each. */
import { type Command, Option } from 'commander';
import type { Action, CliContext } from './context.js';
import { CHECK_ROLES, type CheckRole, examine } from './doctor/checks.js';
import { columns, printJson, printLines } from './output.js';

interface DoctorOptions {
  readonly json?: boolean;
  readonly role?: CheckRole;
}

export function doctorCommand(program: Command, context: CliContext, action: Action): void {
  program
    .command('doctor')
    .description(
      'what this host can do, what is missing, and how to mend it; exit 1 when something needed is',
    )
    .addOption(new Option('--role <role>', 'only what this role needs').choices(CHECK_ROLES))
    .option('--json', 'print one JSON document')
    .action(action((options: DoctorOptions) => doctor(options, context)));
}

async function doctor({ json, role }: DoctorOptions, context: CliContext): Promise<number> {
  const checks = await examine(context.host, role);
  const healthy = checks.every(({ status }) => status !== 'fail');
  if (json) {
    printJson(context.stdout, { ok: healthy, checks });
  } else {
    const rows = checks.map(({ status, name, found }) => [status.toUpperCase(), name, found]);
    printLines(context.stdout, columns(['', 'CHECK', 'FOUND'], rows));
    const mends = checks.filter(({ mend }) => mend !== undefined);
    if (mends.length > 0) printLines(context.stdout, ['', 'To mend:']);
    printLines(
      context.stdout,
      mends.map(({ name, mend, roles }) => `  ${name}: ${mend} (for ${roles.join(', ')})`),
    );
  }
  return healthy ? 0 : 1;
}
