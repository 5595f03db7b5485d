/** How the table is, told in the log when it changes and in `suture stats`. */
import type { Logger } from '../../platform/log.js';
import type { TableState } from '../port.js';

/** Why the table is not `up`, beside the kinds of faults. */
export type Reason = string;

export class Health {
  state: TableState = 'down';
  reason: Reason | undefined = 'unreachable';
  /** What was wrong last, for people. */
  private detail = 'not connected yet';

  constructor(
    private readonly log: Logger,
    private readonly where: string,
    private readonly queued: () => number,
  ) {}

  up(): void {
    this.become('up', undefined, '');
  }

  become(state: TableState, reason: Reason | undefined, detail: string): void {
    const isNews = state !== this.state || reason !== this.reason;
    this.state = state;
    this.reason = reason;
    this.detail = detail;
    if (!isNews) return;
    const fields = { table: this.where, state, ...(reason && { reason }), queued: this.queued() };
    if (state === 'up') this.log.info(fields, 'flow table is up');
    else this.log.warn({ ...fields, cause: detail }, `flow table is ${state}`);
  }

  /** For who asked for something that can't be done now. */
  get complaint(): string {
    return `${this.state} (${this.reason}): ${this.detail}`;
  }
}
