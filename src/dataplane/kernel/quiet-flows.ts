/** Finds connections that nobody needs any more, a part of all records at a time. Times as in RFC 5382 REQ-5. */
import type { EngineOptions } from '../../flow/options.js';
import type { ControlChannel } from './control-channel.js';
import type { FlowStore } from './flow-store.js';
import type { RecordReader } from './record-reader.js';

/** All records are looked at once in so many turns. */
const TURNS_PER_ROUND = 30;

export interface QuietFlowsParts {
  readonly reader: RecordReader;
  readonly requests: ControlChannel;
  readonly store: FlowStore;
  readonly limits: Pick<EngineOptions, 'idle' | 'halfOpen' | 'lingerClosed'>;
  readonly maxFlows: number;
}

export class QuietFlows {
  private next = 0;
  /** Nothing is known of packets before this; by the kernel's clock, ms. */
  since = 0;

  constructor(private readonly parts: QuietFlowsParts) {}

  /** One turn; `now` by the kernel's clock, ms. */
  look(now: number): void {
    const { maxFlows } = this.parts;
    for (let left = Math.ceil(maxFlows / TURNS_PER_ROUND); left > 0; left--) {
      this.lookAt(this.next, now);
      this.next = (this.next + 1) % maxFlows;
    }
  }

  private lookAt(slot: number, now: number): void {
    const { limits, reader, requests, store } = this.parts;
    const record = reader.read(slot);
    if (!record.used) return;
    // Signed: a packet may have passed since `now` was taken.
    const quiet = Math.min((Math.floor(now) - record.lastAt) | 0, now - this.since);
    const { generation, paired, state } = record;
    if (!paired) {
      const limit = record.established(0) ? limits.idle : limits.halfOpen;
      if (quiet >= limit) requests.forget({ slot, generation, isIpv6: false });
      return;
    }
    const known = store.at(slot, generation);
    if (!known || state === 'closed' || state === 'broken') return;
    const bothEnded = record.finSeen(0) && record.finSeen(1);
    const limit = state === 'watched' ? limits.halfOpen : bothEnded ? limits.lingerClosed : limits.idle;
    if (quiet >= limit) requests.idle(known);
  }
}
