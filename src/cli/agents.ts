/** `suture agents [list] | move`: the agents that a running switch knows of, and what it may ask of them. */
import type { Command } from 'commander';
import type { AgentView } from '../switch/admin-protocol.js';
import { type AdminOptions, adminClient, adminOptions } from './admin-options.js';
import type { Action, CliContext } from './context.js';
import { columns, grouped, printJson, printLines } from './output.js';

interface MoveOptions extends AdminOptions {
  readonly peer?: string;
}

export function agentsCommand(program: Command, context: CliContext, action: Action): void {
  const command = program
    .command('agents')
    .description('the agents of a running switch, and who is connected')
    .enablePositionalOptions();
  adminOptions(command.command('list', { isDefault: true }).description('all of them (the default)')).action(
    action((options: AdminOptions) => agents(options, context)),
  );
  adminOptions(
    command
      .command('move')
      .description('ask a shell to take connections off their links, so that they can be stitched')
      .argument('<name>', 'of the shell')
      .option('--peer <address:port>', 'only those of this peer'),
  ).action(action((name: string, options: MoveOptions) => move(name, options, context)));
}

/** The shell does it, or not, in its own time: flows tell. */
async function move(name: string, { peer, ...options }: MoveOptions, context: CliContext): Promise<void> {
  const agent = await (await adminClient(options, context)).move(name, peer);
  if (options.json) return printJson(context.stdout, agent);
  const streams = (agent.links ?? []).reduce((sum, link) => sum + link.streams, 0);
  const what = peer === undefined ? 'all connections on its links' : `those of ${peer}`;
  printLines(context.stdout, [`${name} was asked to move ${what} (it reported ${grouped(streams)} in all)`]);
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
    linksText(agent),
  ]);
  const headings = ['NAME', 'ROLE', 'STATE', 'FROM', 'SINCE', '>FLOWS', 'ADDRESSES', 'RESERVED', 'LINKS'];
  printLines(context.stdout, columns(headings, rows));
}

/** A core that lets any call be stitched is the usual one. */
function callsText({ calls }: AgentView): string[] {
  return calls === undefined || calls === 'any' ? [] : calls.map((to) => `calls to ${to}`);
}

/** Where a link leads to, or is listened for; how many there are, and how many connections are on them. */
function linksText({ links = [] }: AgentView): string {
  const texts = links.map(({ endpoint, connections, streams }) => {
    const open = connections === 0 ? 'down' : connections === 1 ? 'up' : `${connections} up`;
    return `${endpoint} ${open}, ${grouped(streams)} on it`;
  });
  return texts.join('; ') || '-';
}
