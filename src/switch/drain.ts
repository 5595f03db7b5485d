/**
 * The end of a switch. When no other one follows, the flows that it carries can't go on without it: they get some time to
 * end by themselves, and what is left then is reset at both ends.
 *
 * The flows are listed once. After that the data path's events tell of each that ends or is cut, however many there are.
 * One that is clamped is given up at once and goes on relayed: cut now, it would be carried by a switch that is about to end.
 */
import type { DataPlane, FlowSnapshot } from '../dataplane/port.js';
import type { Clock } from '../platform/clock.js';
import { firstAbort } from '../platform/first-abort.js';
import type { Logger } from '../platform/log.js';
import { liveFlows } from './adopt.js';

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
  const givenUp: Promise<unknown>[] = [];
  const giveUp = ({ id, state }: FlowSnapshot): void => {
    if (state === 'clamping') givenUp.push(plane.close(id).catch(() => undefined));
  };
  const carried = new Carried();
  plane.onEvent(({ flow }) => {
    giveUp(flow);
    carried.told(flow);
  });
  const flows = await plane.list();
  flows.forEach(giveUp);
  carried.listed(flows);
  const end = firstAbort(carried.none, ...(signal ? [signal] : []));
  await clock.sleep(drainLimit, end.signal).catch(() => {});
  end.done();
  const { ids } = carried;
  if (ids.length > 0) log.warn({ flows: ids.length }, 'stopping: stitched flows are reset');
  await Promise.allSettled([...givenUp, ...ids.map((id) => plane.close(id))]);
}

/**
 * Before the flows go to another switch: what is clamped goes on relayed. Cut in the meantime, it would be in the middle of its
 * handover when that one takes over.
 */
export async function giveUpClamped(plane: DataPlane): Promise<void> {
  const live = [...liveFlows(await plane.states())];
  const clamped = live.filter(([, { state }]) => state === 'clamping');
  await Promise.allSettled(clamped.map(([id]) => plane.close(id)));
}

/** Flows whose packets would reach nobody without this switch. */
class Carried {
  private readonly flows = new Set<string>();
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
  }

  private look(): void {
    if (!this.news && this.flows.size === 0) this.gone.abort();
  }
}

function isCarried({ state, history }: FlowSnapshot): boolean {
  if (state === 'closed' || state === 'broken') return false;
  return history.some((step) => step.state === 'cutting' || step.state === 'stitched');
}
