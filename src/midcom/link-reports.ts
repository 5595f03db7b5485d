/**
 * Tells the switch, for people, how an agent's links are.
 *
 * What always holds: at most one report is under way, and at most one a second is sent; the last one sent in a
 * session tells what is true. Nothing depends on a report, so a failed one is only logged.
 */
import type { Clock } from '../platform/clock.js';
import { asSutureError } from '../platform/errors.js';
import type { Conversation } from './conversation.js';
import type { LinkState } from './port.js';
import type { MidcomLog } from './service.js';

const REPORT_MS = 1_000;

export interface LinkReportsOptions {
  readonly clock: Clock;
  readonly log: MidcomLog;
  /** Nothing is sent after this. */
  readonly stopped: AbortSignal;
  /** Where reports go to now; undefined while there is no session. */
  readonly session: () => Conversation | undefined;
}

export class LinkReports {
  private links: readonly LinkState[] = [];
  private reporting = false;

  constructor(private readonly options: LinkReportsOptions) {}

  report(links: readonly LinkState[]): void {
    this.links = links;
    if (!this.reporting) void this.send();
  }

  /** A session has begun, and the switch knows of no links in it. */
  repeat(): void {
    if (this.links.length > 0 && !this.reporting) void this.send();
  }

  private async send(): Promise<void> {
    const { clock, log, stopped, session } = this.options;
    this.reporting = true;
    try {
      let told: readonly LinkState[] | undefined;
      for (let to = session(); to && told !== this.links; to = session()) {
        told = this.links;
        await to.request('report', { links: told.map((link) => ({ ...link })) });
        await clock.sleep(REPORT_MS, stopped);
      }
    } catch (error) {
      // A switch of an older version does not know reports.
      log.debug({ err: asSutureError(error) }, 'links not reported');
    } finally {
      this.reporting = false;
    }
  }
}
