/** `suture flows [list] | show | watch | close`: the flow table of a running switch; with `--table` one in Redis. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { FLOW_STATES, type FlowState } from '../flow/state.js';
import { humanDuration, humanSize } from '../platform/units.js';
import type { FlowDetail, FlowView } from '../switch/admin-protocol.js';
import { type AdminOptions, adminClient, adminOptions } from './admin-options.js';
import type { Action, CliContext } from './context.js';
import { type TableOptions, tableOptions, withFlows } from './flow-source.js';
import { columns, grouped, pairs, printJson, printLines } from './output.js';

interface ListOptions extends TableOptions {
  readonly state?: FlowState;
  readonly agent?: string;
}

export function flowCommands(program: Command, context: CliContext, action: Action): void {
  const flows = program
    .command('flows')
    .description('the flows of a running switch')
    .enablePositionalOptions();
  tableOptions(flows.command('list', { isDefault: true }).description('all flows, or some (the default)'))
    .addOption(new Option('--state <state>', 'only flows in this state').choices(FLOW_STATES))
    .option('--agent <name>', 'only flows of this shell')
    .action(action((options: ListOptions) => list(options, context)));
  tableOptions(flows.command('show').description('one flow, with its history').argument('<id>')).action(
    action((id: string, options: TableOptions) => show(id, options, context)),
  );
  adminOptions(
    flows.command('watch').description('a line for every change of a flow, until Ctrl-C'),
    'print one JSON document a line',
  ).action(action((options: AdminOptions) => watch(options, context)));
  adminOptions(
    flows.command('close').description('reset a stitched flow, or stop watching another').argument('<id>'),
  ).action(action((id: string, options: AdminOptions) => close(id, options, context)));
}

async function list({ state, agent, ...options }: ListOptions, context: CliContext): Promise<void> {
  const filter = { ...(state !== undefined && { state }), ...(agent !== undefined && { agent }) };
  const flows = await withFlows(options, context, (source) => source.flows(filter));
  if (options.json) return printJson(context.stdout, flows);
  if (flows.length === 0) return printLines(context.stdout, ['no flows']);
  const now = context.clock.wall();
  const rows = flows.map((flow) => [
    flow.id,
    stateText(flow),
    flow.agent,
    flow.outer.remote,
    flow.outer.local,
    flow.inner.local,
    flow.inner.remote,
    humanSize(flow.up.bytes),
    humanSize(flow.down.bytes),
    humanDuration(Math.max(0, now - Date.parse(flow.openedAt))),
  ]);
  const headings = ['ID', 'STATE', 'AGENT', 'PEER', 'SHELL', 'FROM', 'CORE', '>UP', '>DOWN', '>AGE'];
  printLines(context.stdout, columns(headings, rows));
}

async function show(id: string, options: TableOptions, context: CliContext): Promise<void> {
  const flow = await withFlows(options, context, (source) => source.flow(id));
  if (options.json) return printJson(context.stdout, flow);
  const carried = ({ packets, bytes }: FlowView['up']): string =>
    `${grouped(bytes)} bytes in ${grouped(packets)} packets`;
  const start = Date.parse(flow.history[0]?.at ?? flow.openedAt);
  printLines(context.stdout, [
    ...pairs([
      ['id', flow.id],
      ['state', stateText(flow)],
      ['agent', flow.agent],
      ...ends(flow),
      ['up', carried(flow.up)],
      ['down', carried(flow.down)],
      ['to shell', `${carried(flow.toShellStitched)} since it was stitched`],
      ...(flow.teardown ? [['teardown', flow.teardown] as const] : []),
      ...(flow.stitchCause ? [['because', flow.stitchCause.join(', ')] as const] : []),
    ]),
    '',
    ...columns(
      ['STATE', 'SINCE', '>AFTER'],
      flow.history.map(({ state, at }) => [state, at, `${grouped(Date.parse(at) - start)} ms`]),
    ),
  ]);
}

/** An arrow points from the end that opened the connection. */
function ends({ openedBy, outer, inner }: FlowDetail): (readonly [string, string])[] {
  const arrow = openedBy === 'peer' ? '→' : '←';
  return [
    ['outer', `${outer.remote} ${arrow} ${outer.local}`],
    ['inner', `${inner.local} ${arrow} ${inner.remote}`],
  ];
}

async function watch(options: AdminOptions, context: CliContext): Promise<void> {
  const client = await adminClient(options, context);
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  context.signals.on('SIGINT', stop);
  context.signals.on('SIGTERM', stop);
  try {
    for await (const flow of client.watch(abort.signal)) {
      context.stdout.write(`${options.json ? JSON.stringify(flow) : changeLine(flow)}\n`);
    }
  } finally {
    context.signals.off('SIGINT', stop);
    context.signals.off('SIGTERM', stop);
  }
}

async function close(id: string, options: AdminOptions, context: CliContext): Promise<void> {
  const flow = await (await adminClient(options, context)).close(id);
  if (options.json) return printJson(context.stdout, flow);
  printLines(context.stdout, [`${flow.id} is ${stateText(flow)}`]);
}

function changeLine(flow: FlowDetail): string {
  const at = flow.history.at(-1)?.at ?? flow.openedAt;
  const ends = `${flow.outer.remote} → ${flow.inner.remote}`;
  const carried = `up ${humanSize(flow.up.bytes)}, down ${humanSize(flow.down.bytes)}`;
  return `${at}  ${flow.id}  ${stateText(flow).padEnd(24)}  ${ends}  ${carried}`;
}

function stateText({ state, reason }: FlowView): string {
  return reason === undefined ? state : `${state} (${reason})`;
}
