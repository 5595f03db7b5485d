/** What every connection of a shell shares. */
import type { SwitchClient } from '../midcom/port.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/log.js';
import type { KeepaliveOptions } from '../platform/sockets.js';
import type { FlowBook } from './flows.js';
import type { LimitedLog } from './limited-log.js';
import type { Links } from './links.js';
import type { Resolve } from './resolve.js';
import type { ShellCounters } from './stats.js';
import type { Stitcher } from './stitcher.js';

export interface ShellContext {
  readonly client: SwitchClient;
  readonly book: FlowBook;
  readonly stitcher: Stitcher;
  readonly counters: ShellCounters;
  readonly links: Links;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limited: LimitedLog;
  readonly resolve: Resolve;
  readonly connectTimeoutMs: number;
  /** Of every socket that is relayed. */
  readonly keepalive: KeepaliveOptions;
  /** How long an accepted connection may take to say where it goes, and how much it may say. */
  readonly greetingTimeoutMs: number;
  readonly greetingBytes: number;
  /** Bytes that one direction of a relay may hold in user space. */
  readonly bufferBytes: number;
}
