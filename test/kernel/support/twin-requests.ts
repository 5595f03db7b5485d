/** Requests to the kernel's program about one flow, and whether its answers are those that the engine's mean. */
import type { FlowSide } from '../../../src/dataplane/port.js';
import type { StitchOffsets } from '../../../src/flow/endpoints.js';
import { FlowRequestError } from '../../../src/flow/errors.js';
import { type Flow, Mode } from '../../../src/flow/flow.js';
import { quietAt } from '../../../src/flow/share.js';
import { TEARDOWN_MODES, type TeardownMode } from '../../../src/flow/state.js';
import type { Kernel, Reply } from './kernel.js';

/** Where the kernel has a flow. */
export interface Slot {
  readonly slot: number;
  readonly generation: number;
}

/** What a request says besides the flow. */
export interface More {
  readonly offsets?: StitchOffsets;
  readonly teardown?: TeardownMode;
  readonly from?: FlowSide;
}

export function askAbout(
  kernel: Kernel,
  place: Slot,
  ask: string,
  now: number,
  more: More = {},
): ReturnType<Kernel['ask']> {
  const { slot, generation } = place;
  const { offsets: o, teardown, from } = more;
  return kernel.ask(
    {
      ask: kernel.number(ask),
      slot,
      generation,
      ...(o && {
        consumed: [o.consumedFromPeer, o.consumedFromCore] as const,
        injected: [o.injectedToPeer, o.injectedToCore] as const,
      }),
      ...(teardown && { teardown: TEARDOWN_MODES.indexOf(teardown) }),
      ...(from && { from: kernel.number(from === 'peer' ? 'FROM_PEER' : 'FROM_CORE') }),
    },
    now,
  );
}

/** What is wrong with an answer; nothing when both mean the same. */
export function answerDiffers(kernel: Kernel, engine: Flow | FlowRequestError, { answer }: Reply): string[] {
  const names: Record<string, readonly string[]> = {
    SUT_CONFLICT: ['ANSWER_OUTER_TAKEN', 'ANSWER_INNER_TAKEN'],
    SUT_FLOW_STATE: ['ANSWER_STATE'],
  };
  const expected = engine instanceof FlowRequestError ? names[engine.code] : ['ANSWER_DONE'];
  if (expected?.some((name) => kernel.number(name) === answer)) return [];
  return [`answer: kernel ${answer}, engine ${engine instanceof FlowRequestError ? engine.code : 'done'}`];
}

/** The same of when the process is to tick next, of flows that time moves on. */
export function dueDiffers(flow: Flow, { due }: Reply, now: number, isShared: boolean): string[] {
  const quiet = isShared ? (quietAt(flow) ?? 0) : 0;
  const times = [flow.deadline, flow.resendAt, quiet].filter((at) => at > 0);
  const { mode, state, deadline } = flow;
  const rests = mode === Mode.Relay || mode === Mode.Dead || state === 'closed' || times.length === 0;
  const expected =
    rests || (mode === Mode.Clamp && now >= deadline) ? 0 : Math.max(1, Math.min(...times) - now);
  return due === expected ? [] : [`due: kernel ${due}, engine ${expected}`];
}
