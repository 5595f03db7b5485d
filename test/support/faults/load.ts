/** The load of one injection: so many connections in each phase, and what became of each. */
import { addressOf } from '../../../src/lab/stage.js';
import { holdDrains, letDrainsGo } from '../lab/held-drains.js';
import type { Ends } from '../lab/results.js';
import type { Client } from '../lab/rig.js';
import type { Random } from '../sim/random.js';
import { type Field, PORTS } from './field.js';
import { PHASES, type Phase } from './plan.js';

/** On a busy machine the switch may take too long to answer a pair, and then the connection is relayed for good. */
const PHASE_MS = 20_000;
const POLL_MS = 50;

type Kind = 'echo' | 'requests' | 'up' | 'both' | 'stalled' | 'held' | 'halfClosed';

export type Outcome = 'ok' | 'wrong' | 'reset' | 'fin' | 'timeout' | 'silence' | 'refused' | 'unreachable';

export interface LoadResult extends Ends {
  readonly phase: Phase;
  readonly kind: Kind;
  readonly outcome: Outcome;
  /** Lost, doubled or changed on a connection that went on. */
  readonly bytes: number;
  /** Longest wait for the other end. */
  readonly worstMs: number;
}

interface Planned {
  readonly phase: Phase;
  readonly kind: Kind;
  readonly port: number;
  readonly seed: number;
  /** It is opened so long after `open`; at once unless given. */
  readonly delayMs?: number;
}

export interface LoadOptions {
  readonly perPhase: number;
  /** How long a half-closed connection is answered. */
  readonly seconds: number;
  /** For an end after the load was told to end. */
  readonly limitMs: number;
  /** The connections of phase `opening` are opened within this time. */
  readonly openMs: number;
}

export class Load {
  /** Local ends of connections that never came to their phase; what becomes of them counts for nothing. */
  readonly #astray = new Set<string>();
  readonly #open;
  readonly #half;
  readonly #go;

  private constructor(
    private readonly field: Field,
    private readonly planned: readonly Planned[],
    options: LoadOptions,
    private client?: Client,
  ) {
    this.#open = field.rig.go();
    this.#half = field.rig.go();
    this.#go = field.rig.go();
    this.client ??= field.rig.startClient('load', {
      host: addressOf('a', 4),
      connections: planned,
      open: this.#open.path,
      half: this.#half.path,
      go: this.#go.path,
      seconds: options.seconds,
      limitMs: options.limitMs,
    });
  }

  /** Resolves when every connection is in its phase, but those that are still to be opened. */
  static async start(field: Field, random: Random, options: LoadOptions): Promise<Load> {
    const planned = PHASES.flatMap((phase) =>
      Array.from({ length: options.perPhase }, (_, i) => plan(phase, i, random, options)),
    );
    await holdDrains(field.rig, PORTS.cutting);
    const load = new Load(field, planned, options);
    await load.#inPhase();
    return load;
  }

  /** Lets the rest open, each at its moment. */
  open(): void {
    this.#open.say();
  }

  /** Lets all of it end. */
  async finish(): Promise<LoadResult[]> {
    await letDrainsGo(this.field.rig);
    this.#go.say();
    const results = await this.#report<Omit<LoadResult, 'phase' | 'kind'>[]>(1);
    return results
      .map((result, i) => {
        const { phase, kind } = this.planned[i] as Planned;
        return { ...result, phase, kind };
      })
      .filter(({ local }) => !this.#astray.has(local));
  }

  async #inPhase(): Promise<void> {
    const ends = await this.#report<(Ends | null)[]>(0);
    const phases = (wanted: (planned: Planned) => string) =>
      this.#until(
        new Map(ends.flatMap((one, i) => (one ? [[one.local, wanted(this.planned[i] as Planned)]] : []))),
      );
    await phases(({ phase }) => (phase === 'closing' ? 'stitched' : phase));
    this.#half.say();
    await phases(({ phase }) => phase);
  }

  async #until(wanted: ReadonlyMap<string, string>): Promise<void> {
    const { stage } = this.field.rig;
    const { clock } = this.field;
    const until = clock.monotonic() + PHASE_MS;
    let wrong: string[];
    do {
      const states = new Map((await stage.admin.flows()).map(({ outer, state }) => [outer.remote, state]));
      wrong = [...wanted].flatMap(([end, state]) => (states.get(end) === state ? [] : [end]));
      await clock.sleep(POLL_MS);
    } while (wrong.length > 0 && clock.monotonic() < until);
    for (const end of wrong) this.#astray.add(end);
    // Each phase is to be seen all the same.
    if (2 * this.#astray.size > wanted.size) throw new Error(`${this.#astray.size} are not in their phase`);
  }

  #report<T>(n: number): Promise<T> {
    if (!this.client) throw new Error('no load');
    return this.client.report<T>(n, 180_000);
  }
}

function plan(phase: Phase, i: number, random: Random, { openMs }: LoadOptions): Planned {
  const seed = random.int(1, 2 ** 31 - 1);
  if (phase === 'clamping') return { phase, kind: 'stalled', port: PORTS.clamping, seed };
  if (phase === 'cutting') return { phase, kind: 'held', port: PORTS.cutting, seed };
  if (phase === 'closing') return { phase, kind: 'halfClosed', port: PORTS.stitchedRaw, seed };
  // Every kind comes up, whatever the seed.
  const kinds = ['echo', 'requests', 'up', 'both'] as const;
  const kind = kinds[i % kinds.length] ?? 'echo';
  const service = kind === 'requests' ? 'Http' : 'Raw';
  const when = phase === 'opening' ? { delayMs: random.int(0, openMs) } : {};
  return { phase, kind, port: PORTS[`${phase === 'opening' ? 'stitched' : phase}${service}`], seed, ...when };
}
