/** What every connection of a shell shares. */
import type { SwitchClient } from '../midcom/port.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/log.js';
import type { FlowBook } from './flows.js';
import type { LimitedLog } from './limited-log.js';
import type { ShellCounters } from './stats.js';
import type { Stitcher } from './stitcher.js';

export interface ShellContext {
  readonly client: SwitchClient;
  readonly book: FlowBook;
  readonly stitcher: Stitcher;
  readonly counters: ShellCounters;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limited: LimitedLog;
  readonly connectTimeoutMs: number;
  /** Bytes that one direction of a relay may hold in user space. */
  readonly bufferBytes: number;
}
