/** What Suture's own agents say to a FIN or RST: it may go on, and the other agent may know. */
import { asSutureError } from '../platform/errors.js';
import type { AgentEvent, SwitchClient } from './port.js';
import type { MidcomLog } from './service.js';

/** An answer that comes too late, or is lost, is none: the switch goes on without it. */
export function answerTeardown(
  client: Pick<SwitchClient, 'proceed'>,
  { flow, from }: AgentEvent,
  log: Pick<MidcomLog, 'debug'>,
): void {
  if (from === undefined) return;
  client.proceed(flow.id, from).catch((thrown: unknown) => {
    const { code, message } = asSutureError(thrown);
    log.debug({ flow: flow.id, from, code, cause: message }, 'the end of a stream went on unanswered');
  });
}
