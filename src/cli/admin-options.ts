/** What every command has that asks a running switch. */
import type { Command } from 'commander';
import { AdminClient, findAdminSocket } from '../switch/admin-client.js';
import type { CliContext } from './context.js';

export interface AdminOptions {
  readonly admin?: string;
  readonly json?: boolean;
}

export function adminOptions(command: Command, json = 'print one JSON document'): Command {
  return command
    .option('--admin <unix:PATH>', 'admin socket of the switch (default: the only one in /run/suture)')
    .option('--json', json);
}

export async function adminClient({ admin }: AdminOptions, context: CliContext): Promise<AdminClient> {
  return new AdminClient(await findAdminSocket(admin, context.adminDirectory));
}
