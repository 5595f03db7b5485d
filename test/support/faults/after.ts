/** What must hold once the connections of a load have ended, whatever happened to them. */
import type { Field } from './field.js';

const END_MS = 60_000;
const STOPPED = /"stopped"/;

/**
 * No live flow in the table, none in the agents' books, no socket left on any host. Where nobody is left who could
 * end the other half of a lost connection, its socket is remembered in place of being waited for.
 */
export async function untilEmpty(field: Field, { orphans }: { readonly orphans: boolean }): Promise<void> {
  const { stage } = field.rig;
  if (orphans) for (const line of await sockets(field)) field.orphans.add(line);
  let left: string[] = [];
  await stage.until(
    async () => {
      left = [...(await liveFlows(field)), ...(await booked(field)), ...(await sockets(field))];
      return left.length === 0;
    },
    END_MS,
    () => `left over: ${left.join('; ')}`,
  );
}

/** Stops the shell in order and reads from its last words that each of its ports is free again. */
export async function stopShell(field: Field): Promise<string[]> {
  const shell = field.program('shell');
  await shell.stop();
  const line = await shell.line(STOPPED, 1000);
  const { flows, ports } = JSON.parse(line) as { flows: number; ports: { address: string; held: number }[] };
  return [
    ...(flows > 0 ? [`the shell knows ${flows} flows`] : []),
    ...ports.flatMap(({ address, held }) => (held > 0 ? [`${held} ports of ${address} are held`] : [])),
  ];
}

async function liveFlows({ rig }: Field): Promise<string[]> {
  const flows = await rig.stage.admin.flows();
  return flows.flatMap(({ id, state, outer }) =>
    state === 'closed' || state === 'broken' ? [] : [`flow ${id} (${outer.remote}) is ${state}`],
  );
}

async function booked({ rig }: Field): Promise<string[]> {
  const agents = await rig.stage.admin.agents();
  return agents.flatMap(({ name, flows }) => (flows > 0 ? [`${name} has ${flows} flows`] : []));
}

/** TIME-WAIT is the end of an ordered close, and the control connections stay. */
async function sockets({ rig, orphans }: Field): Promise<string[]> {
  const hosts = ['e', 'a', 'b'] as const;
  const texts = await Promise.all(
    hosts.map((host) => rig.tool(host, ['ss', '-Htan', 'state', 'connected', 'exclude', 'time-wait'])),
  );
  return texts.flatMap((text, i) =>
    text
      .split('\n')
      .filter((line) => line !== '' && !line.includes(':57626'))
      .map((line) => `${hosts[i]}: ${line.replace(/\s+/g, ' ').trim()}`)
      .filter((line) => !orphans.has(line)),
  );
}
