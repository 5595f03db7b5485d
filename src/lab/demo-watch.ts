/**
 * Follows the demo's flows while they run: every state with its time, from the switch, and what arrives at the
 * shell, from a counter of the shell's own host. The two know nothing of each other, so either can refute
 * what the other says.
 */
import type { Clock } from '../platform/clock.js';
import type { FlowDetail } from '../switch/admin-protocol.js';
import { arrivalsOf, type PacketCount, type ShellCounter, type ShellReading } from './shell-counter.js';

export interface WatchedFlow {
  readonly flow: FlowDetail;
  /** Arrived at the shell once what was on its way when `stitched` was told had come in; undefined: it never was. */
  readonly arrivedOnceStitched: PacketCount | undefined;
}

/**
 * What the switch sent a moment before may still wait for a processor of the shell's host. The count starts when
 * two readings this far apart are the same, after the limit at the latest: a flow that goes on leaking is seen.
 */
const SETTLE_MS = 40;
const SETTLE_LIMIT_MS = 1000;

export class FlowWatch {
  readonly #counter: ShellCounter;
  readonly #onChange: (flow: FlowDetail) => void;
  readonly #latest = new Map<string, FlowDetail>();
  readonly #baselines = new Map<string, Promise<ShellReading>>();

  readonly #clock: Clock;

  constructor(counter: ShellCounter, clock: Clock, onChange: (flow: FlowDetail) => void) {
    this.#counter = counter;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Reads events until they end. */
  async follow(events: AsyncIterable<FlowDetail>): Promise<void> {
    for await (const flow of events) {
      const known = this.#latest.get(flow.id)?.state;
      this.#latest.set(flow.id, flow);
      if (flow.state === 'stitched' && !this.#baselines.has(flow.id)) {
        const reading = this.#settled(flow);
        // Judged when it is asked for.
        reading.catch(() => undefined);
        this.#baselines.set(flow.id, reading);
      }
      if (flow.state !== known) this.#onChange(flow);
    }
  }

  async #settled(flow: FlowDetail): Promise<ShellReading> {
    const deadline = this.#clock.monotonic() + SETTLE_LIMIT_MS;
    let before = await this.#counter.read();
    for (;;) {
      await this.#clock.sleep(SETTLE_MS);
      const now = await this.#counter.read();
      if (difference(flow, before, now).packets === 0 || this.#clock.monotonic() > deadline) return now;
      before = now;
    }
  }

  get flows(): readonly FlowDetail[] {
    return [...this.#latest.values()];
  }

  /** All flows as the switch has them now, with what arrived at the shell until now. */
  async result(detail: (id: string) => Promise<FlowDetail>): Promise<WatchedFlow[]> {
    const now = await this.#counter.read();
    return Promise.all(
      this.flows.map(async ({ id }) => {
        const flow = await detail(id);
        const baseline = await this.#baselines.get(id);
        return { flow, arrivedOnceStitched: baseline && difference(flow, baseline, now) };
      }),
    );
  }
}

function difference({ outer, inner }: FlowDetail, before: ShellReading, after: ShellReading): PacketCount {
  const [from, to] = [before, after].map((reading) => arrivalsOf(reading, outer, inner));
  return {
    packets: (to?.packets ?? 0) - (from?.packets ?? 0),
    bytes: (to?.bytes ?? 0) - (from?.bytes ?? 0),
  };
}
