/** What it costs to look at a switch with a full table, and what others of its clients wait for meanwhile. */
import { inNamespace } from '#suture/lab/command.js';
import { CLI } from '#suture/lab/stage.js';
import { run } from '#suture/platform/process.js';
import type { Lab } from './labs.js';

const LIST_MS = 120_000;

/** Milliseconds. */
export interface Looks {
  /** `GET /flows`, `/flows/ID` and `/stats` on the admin socket. */
  readonly flows: number;
  readonly flow: number;
  readonly stats: number;
  /** `suture flows` from its start to its end. */
  readonly list: number;
  /** The longest that a short request waited while all flows were asked for: how long control stood still. */
  readonly wait: number;
}

export async function looksAt(lab: Lab, id: string): Promise<Looks> {
  const { clock, stage } = lab;
  const ms = async (work: () => Promise<unknown>): Promise<number> => {
    const began = clock.monotonic();
    await work();
    return clock.monotonic() - began;
  };
  const flow = await ms(() => stage.admin.flow(id));
  const stats = await ms(() => stage.admin.stats());
  let wait = 0;
  let isDone = false;
  const asking = ms(() => stage.admin.flows()).finally(() => {
    isDone = true;
  });
  // Its failure is told below, where it is waited for.
  asking.catch(() => {});
  while (!isDone) wait = Math.max(wait, await ms(() => stage.admin.agents()));
  const argv = [process.execPath, CLI, 'flows', '--admin', `unix:${stage.adminSocket}`];
  const [program = '', ...args] = inNamespace(lab.namespace('s'), argv);
  const list = await ms(() => run(program, args, { timeoutMs: LIST_MS }));
  return { flows: await asking, flow, stats, list, wait };
}
