/** `suture stats`: counters of a running switch. */
import type { Command } from 'commander';
import { FLOW_STATES } from '../flow/state.js';
import { humanDuration } from '../platform/units.js';
import type { StatsView } from '../switch/admin-protocol.js';
import { type AdminOptions, adminClient, adminOptions } from './admin-options.js';
import type { Action, CliContext } from './context.js';
import { columns, grouped, pairs, printJson, printLines } from './output.js';

export function statsCommand(program: Command, context: CliContext, action: Action): void {
  adminOptions(program.command('stats').description('counters of a running switch')).action(
    action((options: AdminOptions) => stats(options, context)),
  );
}

async function stats(options: AdminOptions, context: CliContext): Promise<void> {
  const found = await (await adminClient(options, context)).stats();
  if (options.json) return printJson(context.stdout, found);
  const up = Math.max(0, context.clock.wall() - Date.parse(found.startedAt));
  const states = FLOW_STATES.filter((state) => (found.flows[state] ?? 0) > 0);
  const flows = states.map((state) => `${grouped(found.flows[state] ?? 0)} ${state}`);
  printLines(context.stdout, [
    ...pairs([
      ['switch', `${found.name}, version ${found.version}`],
      ['data path', `${found.dataplane} on ${found.interfaces.join(', ')}`],
      ['up', `${humanDuration(up)}, since ${found.startedAt}`],
      ...(found.role ? [['role', found.role] as const] : []),
      ['table', tableText(found.table)],
      ['flows', flows.join(', ') || 'none'],
    ]),
    '',
    ...columns(
      ['COUNTER', '>VALUE'],
      Object.entries(found.counters).map(([name, value]) => [name, grouped(value)]),
    ),
  ]);
}

function tableText({ kind, group, state, reason }: StatsView['table']): string {
  const what = group === undefined ? kind : `${kind}, group ${group}`;
  return `${what}: ${state}${reason === undefined ? '' : ` (${reason})`}`;
}
