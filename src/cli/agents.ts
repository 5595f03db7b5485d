/** `suture agents`: the agents that a running switch knows of. */
import type { Command } from 'commander';
import type { AgentView } from '../switch/admin-protocol.js';
import { type AdminOptions, adminClient, adminOptions } from './admin-options.js';
import type { Action, CliContext } from './context.js';
import { columns, grouped, printJson, printLines } from './output.js';

export function agentsCommand(program: Command, context: CliContext, action: Action): void {
  adminOptions(
    program.command('agents').description('the agents of a running switch, and who is connected'),
  ).action(action((options: AdminOptions) => agents(options, context)));
}

async function agents(options: AdminOptions, context: CliContext): Promise<void> {
  const found = await (await adminClient(options, context)).agents();
  if (options.json) return printJson(context.stdout, found);
  if (found.length === 0)
    return printLines(context.stdout, ['no agents: the config of the switch names none']);
  const rows = found.map((agent) => [
    agent.name,
    agent.role,
    agent.connected ? 'connected' : 'away',
    agent.from ?? '-',
    agent.since ?? '-',
    grouped(agent.flows),
    agent.addresses.join(', '),
    [...agent.reserved, ...callsText(agent)].join(', ') || '-',
  ]);
  const headings = ['NAME', 'ROLE', 'STATE', 'FROM', 'SINCE', '>FLOWS', 'ADDRESSES', 'RESERVED'];
  printLines(context.stdout, columns(headings, rows));
}

/** A core that lets any call be stitched is the usual one. */
function callsText({ calls }: AgentView): string[] {
  return calls === undefined || calls === 'any' ? [] : calls.map((to) => `calls to ${to}`);
}
