/**
 * Start and stop. Parts start in order and stop in reverse; a start that fails stops what had started.
 * Stopping drains; a second stop, or an aborted signal, ends it at once. A stop never leaves a part out
 * because another one failed.
 */
import type { Clock } from './clock.js';
import { deferred } from './deferred.js';
import { SutureError } from './errors.js';
import type { Logger } from './log.js';

export interface Startable {
  start(): Promise<void>;
  /** Drains what is under way; when the signal aborts, ends it at once. */
  stop(signal?: AbortSignal): Promise<void>;
  /** While it starts: nobody wants that any more. A start that only waits for something rejects then. */
  giveUp?(): void;
}

/** What a role gives to the one that runs it. */
export interface Running {
  stop(signal?: AbortSignal): Promise<void>;
  /** Resolves with the cause when the role can not go on by itself. */
  readonly failed?: Promise<unknown>;
}

export class Lifecycle implements Startable {
  readonly #parts: readonly (Startable | readonly Startable[])[];
  readonly #started: Startable[] = [];
  #starting: readonly Startable[] = [];
  readonly #abort = new AbortController();
  #stopping: Promise<void> | undefined;

  /** Parts in a list of their own need nothing of each other to start: they start at the same time. */
  constructor(parts: readonly (Startable | readonly Startable[])[]) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    for (const part of this.#parts) {
      if (this.#stopping) throw whileStarting();
      const group = [part].flat();
      this.#starting = group;
      const starts = await Promise.allSettled(group.map((one) => one.start()));
      this.#starting = [];
      const started = group.filter((_, i) => starts[i]?.status === 'fulfilled');
      // A stop that came meanwhile could not know of these.
      if (this.#stopping) {
        for (const one of started.reverse()) await one.stop(this.#abort.signal).catch(() => {});
        throw whileStarting();
      }
      this.#started.push(...started);
      const failed = starts.find((start) => start.status === 'rejected');
      if (failed) {
        // The cause of the failed start is what matters; a failing clean-up must not hide it.
        await this.stop().catch(() => {});
        throw failed.reason;
      }
    }
  }

  stop(signal?: AbortSignal): Promise<void> {
    if (this.#stopping) this.#abort.abort();
    if (signal?.aborted) this.#abort.abort(signal.reason);
    signal?.addEventListener('abort', () => this.#abort.abort(signal.reason), { once: true });
    this.#stopping ??= this.#stopAll();
    for (const one of this.#starting) one.giveUp?.();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    const errors: unknown[] = [];
    for (let part = this.#started.pop(); part; part = this.#started.pop()) {
      await part.stop(this.#abort.signal).catch((error: unknown) => errors.push(error));
    }
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) throw new AggregateError(errors, `${errors.length} parts failed to stop`);
  }
}

function whileStarting(): SutureError {
  return new SutureError('SUT_SHUTTING_DOWN', 'stopped while it was starting');
}

export const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** The part of `process` that is listened to, so that tests can give their own. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
}

export interface RunOptions {
  readonly log: Logger;
  readonly clock: Clock;
  readonly signals?: SignalSource;
  /** How long an aborted stop may take before it is given up. */
  readonly abortGraceMs?: number;
}

/**
 * Runs a role until SIGTERM, SIGINT or SIGHUP. The first signal drains, a second one stops at once.
 * Resolves after an orderly stop. Rejects when the start failed, when the role failed, and with
 * SUT_SHUTTING_DOWN when the drain was cut short.
 */
export async function runUntilSignal(start: () => Promise<Running>, options: RunOptions): Promise<void> {
  const { log, clock, signals = process, abortGraceMs = 2000 } = options;
  const first = deferred();
  const second = deferred();
  let count = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    count += 1;
    log.info(
      { signal },
      count === 1 ? 'stopping: draining, a second signal stops at once' : 'stopping at once',
    );
    if (count === 1) first.resolve();
    else second.resolve();
  };
  for (const signal of STOP_SIGNALS) signals.on(signal, onSignal);
  try {
    const starting = start();
    // A start that hangs must not hold back someone who asked twice.
    const running = await Promise.race([starting, second.promise]);
    if (!running) {
      starting.catch(() => {});
      throw new SutureError(
        'SUT_SHUTTING_DOWN',
        'stopped at once by a second signal, before the start was over',
      );
    }
    const failed = running.failed?.then((cause) => ({ cause }));
    const ended = await Promise.race([first.promise, ...(failed ? [failed] : [])]);
    if (ended) log.error({ err: ended.cause }, 'can not go on; stopping');
    await drain(running, second.promise, clock, abortGraceMs);
    if (ended) throw ended.cause;
  } finally {
    for (const signal of STOP_SIGNALS) signals.off(signal, onSignal);
  }
}

/** Stops a role; once `hurry` resolves, aborts the stop and waits a little for what it still does. */
async function drain(running: Running, hurry: Promise<void>, clock: Clock, graceMs: number): Promise<void> {
  const abort = new AbortController();
  const stopped = running.stop(abort.signal).then(() => true);
  if (await Promise.race([stopped, hurry])) return;
  abort.abort(new SutureError('SUT_SHUTTING_DOWN', 'stopped at once'));
  const timer = new AbortController();
  const grace = clock.sleep(graceMs, timer.signal).catch(() => {});
  await Promise.race([stopped.catch(() => {}), grace]);
  timer.abort();
  throw new SutureError(
    'SUT_SHUTTING_DOWN',
    'stopped at once by a second signal: what was still being drained was cut off',
  );
}
