/** A switch with one shell and one core that are ready for flows, and short names for what tests ask of them. */
import type { FlowSnapshot } from '../../../src/dataplane/port.js';
import type { FlowState } from '../../../src/midcom/gen/suture/v1/common.js';
import type { ControlServerOptions } from '../../../src/midcom/server.js';
import { type RawAgent, type Request, type Result, standing } from './raw-agent.js';
import { OFFERS, Rig, WATCH } from './rig.js';

export const STITCHED: FlowState = 5;
export const CLOSED: FlowState = 7;

interface Scene {
  readonly rig: Rig;
  readonly shell: RawAgent;
  readonly core: RawAgent;
}

export async function scene(
  t: Tap,
  options: Partial<ControlServerOptions> = {},
  capabilities: string[] = [],
): Promise<Scene> {
  const rig = await Rig.started(options);
  t.teardown(() => rig.stop());
  const shell = rig.agent();
  const core = rig.agent();
  await shell.open('a1', 'shell', { capabilities });
  await core.open('b1', 'core', { capabilities });
  await shell.ask(standing(WATCH));
  await core.ask(standing([], OFFERS));
  return { rig, shell, core };
}

type Tap = { teardown(work: () => unknown): void };

export function flowOf(result: Result | string) {
  if (typeof result === 'string') throw new Error(`refused: ${result}`);
  if (result.$case === 'reserve' || result.$case === 'enable' || result.$case === 'changeLifetime') {
    if (result.value.flow) return result.value.flow;
  }
  throw new Error(`no flow in ${result.$case}`);
}

/** A flow as the switch has it. */
export function flowIn({ backend }: Rig, id: string): FlowSnapshot {
  const flow = backend.flows.get(id);
  if (!flow) throw new Error(`no such flow: ${id}`);
  return flow;
}

export const status = (flowId: string): Request => ({ $case: 'status', value: { flowId } });
export const list = (page = ''): Request => ({ $case: 'list', value: { page } });
