/**
 * The end of a switch that no other one follows. The flows that it carries can't go on without it: they get some time to
 * end by themselves, and what is left then is reset at both ends.
 *
 * The flows are listed once. After that the data path's events tell of each that ends or is cut, however many there are.
 */
import type { DataPlane, FlowSnapshot } from '../dataplane/port.js';
import type { Clock } from '../platform/clock.js';
import { firstAbort } from '../platform/first-abort.js';
import type { Logger } from '../platform/log.js';

export interface DrainParts {
  readonly plane: DataPlane;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long it waits, ms. */
  readonly drainLimit: number;
}

/** The signal ends the wait, and not what comes after it. */
export async function drain(
  { plane, clock, log, drainLimit }: DrainParts,
  signal?: AbortSignal,
): Promise<void> {
  const carried = new Carried();
  plane.onEvent(({ flow }) => carried.told(flow));
  carried.listed(await plane.list());
  const end = firstAbort(carried.none, ...(signal ? [signal] : []));
  await clock.sleep(drainLimit, end.signal).catch(() => {});
  end.done();
  const { ids, clamped } = carried;
  if (ids.length > 0) log.warn({ flows: ids.length }, 'stopping: stitched flows are reset');
  // Those that are clamped, which can last, go on relayed: a cut after this would be left half made.
  await Promise.allSettled([...ids, ...clamped].map((id) => plane.close(id)));
}

/** Flows whose packets would reach nobody without this switch. */
class Carried {
  private readonly flows = new Set<string>();
  private readonly clamping = new Set<string>();
  /** Those that were told of while the list was under way, and may be newer than it. */
  private news: Set<string> | undefined = new Set();
  private readonly gone = new AbortController();

  /** Aborts when there is none. */
  get none(): AbortSignal {
    return this.gone.signal;
  }

  get ids(): readonly string[] {
    return [...this.flows];
  }

  /** Those that any packet may cut. */
  get clamped(): readonly string[] {
    return [...this.clamping];
  }

  told(flow: FlowSnapshot): void {
    this.news?.add(flow.id);
    this.take(flow);
    this.look();
  }

  listed(flows: readonly FlowSnapshot[]): void {
    for (const flow of flows) if (!this.news?.has(flow.id)) this.take(flow);
    this.news = undefined;
    this.look();
  }

  private take(flow: FlowSnapshot): void {
    if (isCarried(flow)) this.flows.add(flow.id);
    else this.flows.delete(flow.id);
    if (flow.state === 'clamping') this.clamping.add(flow.id);
    else this.clamping.delete(flow.id);
  }

  private look(): void {
    if (!this.news && this.flows.size === 0) this.gone.abort();
  }
}

function isCarried({ state, history }: FlowSnapshot): boolean {
  if (state === 'closed' || state === 'broken') return false;
  return history.some((step) => step.state === 'cutting' || step.state === 'stitched');
}
