/** What Suture's own agents do with events: write them down, and let a FIN or RST go on. */
import { asSutureError } from '../platform/errors.js';
import type { AgentEvent, SwitchClient } from './port.js';
import type { MidcomLog } from './service.js';

/** One line for each event, the same for both roles. */
export function logEvent(event: AgentEvent, log: Pick<MidcomLog, 'debug'>): void {
  const { kind, flow, from, toldBy, held, segment } = event;
  log.debug({ flow: flow.id, kind, state: flow.state, from, toldBy, held, seq: segment?.seq }, 'flow event');
}

/** An answer that comes too late, or is lost, is none: the switch goes on without it. */
export function answerTeardown(
  client: Pick<SwitchClient, 'proceed'>,
  { flow, from }: AgentEvent,
  log: Pick<MidcomLog, 'debug'>,
): void {
  if (from === undefined) return;
  log.debug({ flow: flow.id, from }, 'letting it go on');
  client.proceed(flow.id, from).catch((thrown: unknown) => {
    const { code, message } = asSutureError(thrown);
    log.debug({ flow: flow.id, from, code, cause: message }, 'the end of a stream went on unanswered');
  });
}
