/**
 * Decides, again and again, which relayed connections are to be stitched now. One loop serves them all: it
 * measures the shell's load once a second and asks the switch for packet counters only when a policy needs
 * them, with one request for all flows.
 */
import type { Clock } from '../platform/clock.js';
import type { LoadMeter } from './load.js';
import type { Decision } from './policy.js';

const TURN_MS = 50;
const PACKETS_MS = 500;

/** A connection that waits for its moment. */
export interface Candidate {
  readonly needsPackets: boolean;
  decide(now: number, shellLoad: number): Decision;
  /** Asks the switch; the candidate has left the queue and may come back with `wait`. */
  stitch(): void;
}

export interface StitcherOptions {
  readonly clock: Clock;
  readonly load: LoadMeter;
  /** True while the switch can be asked. */
  readonly ready: () => boolean;
  readonly refreshPackets: () => Promise<void>;
}

export class Stitcher {
  readonly #options: StitcherOptions;
  readonly #waiting = new Set<Candidate>();
  readonly #stopped = new AbortController();
  #loop: Promise<void> | undefined;
  #refreshedAt = Number.NEGATIVE_INFINITY;

  constructor(options: StitcherOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
  }

  /** Takes a candidate in; one whose moment has come already does not wait for the next turn. */
  wait(candidate: Candidate): void {
    this.#waiting.add(candidate);
    this.#consider(candidate);
  }

  /** Something has changed for one that may be waiting. */
  reconsider(candidate: Candidate): void {
    if (this.#waiting.has(candidate)) this.#consider(candidate);
  }

  forget(candidate: Candidate): void {
    this.#waiting.delete(candidate);
  }

  async #run(): Promise<void> {
    const { clock, load } = this.#options;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await clock.sleep(TURN_MS, signal).catch(() => {});
      load.sample();
      await this.#refresh();
      for (const candidate of this.#waiting) this.#consider(candidate);
    }
  }

  async #refresh(): Promise<void> {
    const now = this.#options.clock.monotonic();
    if (now - this.#refreshedAt < PACKETS_MS || !this.#options.ready()) return;
    if (![...this.#waiting].some((candidate) => candidate.needsPackets)) return;
    this.#refreshedAt = now;
    await this.#options.refreshPackets();
  }

  #consider(candidate: Candidate): void {
    const { clock, load, ready } = this.#options;
    if (this.#stopped.signal.aborted || !ready()) return;
    const decision = candidate.decide(clock.monotonic(), load.value);
    if (decision === 'wait') return;
    this.#waiting.delete(candidate);
    if (decision === 'stitch') candidate.stitch();
  }
}
