/**
 * The core agent: says which of its endpoints and of its own calls may be stitched, keeps its session, and logs
 * what the switch tells of its flows. It has no part in the data path; the core's own programs accept and open
 * the inner connections. Where it is told to deliver, it accepts them itself (`delivery.ts`).
 */
import type { FlowEvent } from '../dataplane/port.js';
import { answerTeardown, logEvent } from '../midcom/answer.js';
import { createSwitchClient } from '../midcom/client.js';
import type { AgentEvent, Reservation, SwitchClient } from '../midcom/port.js';
import { ANSWERS_TEARDOWN } from '../midcom/service.js';
import type { Clock } from '../platform/clock.js';
import type { CoreConfig } from '../platform/config/index.js';
import type { Running } from '../platform/lifecycle.js';
import type { Logger } from '../platform/log.js';
import { formatEndpoint } from '../wire/endpoint.js';
import { Delivery } from './delivery.js';
import type { DeliveryStats } from './stats.js';

export interface CoreOptions {
  readonly config: CoreConfig;
  readonly log: Logger;
  readonly clock: Clock;
  /** Where the switch's client comes from; tests give their own. */
  readonly createClient?: (reservation: Reservation) => SwitchClient;
}

/** Events of this agent's flows since it was started, by what they told. */
export interface CoreStats {
  readonly fin: number;
  readonly rst: number;
  readonly stitched: number;
  readonly closed: number;
  readonly refused: number;
  readonly broken: number;
  /** Where it delivers. */
  readonly delivery?: DeliveryStats;
}

export interface RunningCore extends Running {
  /** True while the session is open and the offers stand. */
  readonly ready: boolean;
  stats(): CoreStats;
}

export async function startCore(options: CoreOptions): Promise<RunningCore> {
  const { config, log, clock } = options;
  const { offers, calls, deliver, link } = config;
  const reservation: Reservation = { watch: [], offers, calls };
  const client =
    options.createClient?.(reservation) ??
    createSwitchClient({
      name: config.name,
      role: 'core',
      switch: config.switch,
      discoveryPort: config.discovery.port,
      reservation,
      log,
      clock,
      capabilities: [ANSWERS_TEARDOWN],
    });
  const stats = { fin: 0, rst: 0, stitched: 0, closed: 0, refused: 0, broken: 0 };
  client.onEvent((event) => {
    count(event, stats);
    logEvent(event, log);
    logEnding(event, log);
    if (event.answerExpected) answerTeardown(client, event, log);
  });
  client.onSession((change) => log.info({ change }, 'session with the switch'));
  const report = (): void => {
    if (!delivery || !link) return;
    const { links: connections, streams } = delivery.stats;
    client.report([{ endpoint: link.listen, connections, streams }]);
  };
  const delivery =
    deliver && link ? new Delivery({ offers, deliver, link, clock, log, onChange: report }) : undefined;
  await delivery?.start();
  report();
  await client.start();
  const callsText = calls === 'any' ? calls : calls.map(formatEndpoint);
  log.info({ offers: offers.map(formatEndpoint), calls: callsText }, 'offering endpoints');
  let stopped: Promise<void> | undefined;
  return {
    get ready() {
      return client.ready;
    },
    stats: () => ({ ...stats, ...(delivery && { delivery: delivery.stats }) }),
    stop(signal) {
      // The flows of what is still delivered are watched to the end.
      const drained = delivery?.stop(signal) ?? Promise.resolve();
      stopped ??= drained.then(() => client.stop());
      return stopped;
    },
  };
}

type Tally = { -readonly [K in Exclude<keyof CoreStats, 'delivery'>]: number };

function count({ kind, flow }: FlowEvent, stats: Tally): void {
  if (kind !== 'state') stats[kind] += 1;
  else if (flow.state in stats) stats[flow.state as keyof Tally] += 1;
}

/** What ends a flow is worth a line of its own for people. */
function logEnding({ kind, flow, from, held }: AgentEvent, log: Logger): void {
  const { id, state, reason, up, down } = flow;
  if (kind !== 'state') {
    log.info({ flow: id, from, state, held }, kind === 'fin' ? 'FIN seen' : 'RST seen');
  } else if (state === 'closed' || state === 'broken' || state === 'refused') {
    log.info({ flow: id, reason, up, down }, `flow ${state}`);
  }
}
