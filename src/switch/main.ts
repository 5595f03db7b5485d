/**
 * A switch, for as long as its process lives. One of a group may lose its place to another one; then it begins anew,
 * from what the group's table says, as the standby.
 */
import { networkInterfaces } from 'node:os';
import type { SystemClock } from '../platform/clock.js';
import type { SwitchConfig } from '../platform/config/index.js';
import { SutureError } from '../platform/errors.js';
import type { Running } from '../platform/lifecycle.js';
import type { Logger } from '../platform/log.js';
import { type Claimed, claim } from './claim.js';
import { Generation } from './generation.js';
import { withNames } from './interfaces.js';

/** Between the end of one generation and the next: what makes a start fail may be over by then. */
const PAUSE_MS = 100;

export interface SwitchOptions {
  readonly config: SwitchConfig;
  readonly log: Logger;
  readonly clock: SystemClock;
}

export async function startSwitch({ config: given, log, clock }: SwitchOptions): Promise<Running> {
  const config = withNames(given, networkInterfaces());
  // The admin socket is made by the control thread, and only this one may say who can open it.
  process.umask(0o077);
  const claimed = await claim(config.name, config.interfaces);
  const switchOver = new Switch({ config, log, clock }, claimed);
  try {
    await switchOver.start();
  } catch (error) {
    claimed.release();
    throw error;
  }
  return switchOver;
}

class Switch implements Running {
  readonly failed: Promise<unknown>;
  private fail: (cause: unknown) => void = () => {};
  private generation: Generation | undefined;
  private readonly stopping = new AbortController();
  private changing: Promise<void> = Promise.resolve();

  constructor(
    private readonly options: SwitchOptions,
    private readonly claimed: Claimed,
  ) {
    this.failed = new Promise((resolve) => {
      this.fail = resolve;
    });
  }

  async start(): Promise<void> {
    const generation = await Generation.start(this.options);
    this.generation = generation;
    void generation.failed.then((cause) => this.fail(cause));
    void generation.deposed.then(() => {
      this.changing = this.succeed(generation).catch((cause: unknown) => this.fail(cause));
    });
  }

  async stop(signal?: AbortSignal): Promise<void> {
    this.stopping.abort(new SutureError('SUT_SHUTTING_DOWN', 'the switch is stopping'));
    await this.changing;
    // The flows of a group go on without this switch, in another one or in its next run.
    if (this.options.config.standby && !signal?.aborted) await this.generation?.leave();
    else await this.generation?.stop(signal);
    this.claimed.release();
  }

  private async succeed(deposed: Generation): Promise<void> {
    const { clock, log } = this.options;
    if (this.stopping.signal.aborted) return;
    log.warn('another switch of the group is the active one; beginning anew as its standby');
    await deposed.yield();
    this.generation = undefined;
    await clock.sleep(PAUSE_MS, this.stopping.signal).catch(() => {});
    if (!this.stopping.signal.aborted) await this.start();
  }
}
