/** Where the kernel has what the engine knows, and when it is told to forget what the engine has forgotten. */
import type { Connection } from '../../../src/flow/connection.js';
import { Mode } from '../../../src/flow/flow.js';
import { FLOW_STATES } from '../../../src/flow/state.js';
import { readField } from './compare.js';
import type { insideEngine } from './inside.js';
import type { Kernel } from './kernel.js';
import { askAbout, type Slot } from './twin-requests.js';
import type { Steps } from './twin-steps.js';

interface Place extends Slot {
  /** Set once the engine no longer knows it: the steps until the kernel is told. */
  forgetIn?: number;
}

export class Places {
  private readonly places = new Map<Connection, Place>();

  constructor(
    private readonly kernel: Kernel,
    private readonly index: ReturnType<typeof insideEngine>['index'],
    private readonly steps: Steps,
    /** How many steps a relayed flow that ended stays in the kernel. */
    private readonly forgetAfter: number,
    /** The kernel has forgotten something, and may have said so. */
    private readonly onForgotten: () => void,
  ) {}

  set(connections: readonly Connection[], { slot, generation }: Slot): void {
    for (const x of connections) this.places.set(x, { slot, generation });
  }

  of(x: Connection): Slot {
    const known = this.places.get(x);
    if (known) return known;
    const slot = this.kernel.placeOf(x.toShell)?.slot;
    if (slot === undefined)
      return this.steps.fail(['the kernel has no record of a connection that the engine knows']);
    const found = { slot, generation: this.kernel.generationOf(slot) };
    this.places.set(x, found);
    return found;
  }

  /** The engine gave up flows that were quiet for too long; the process tells the kernel so. */
  endForgotten(now: number): void {
    for (const [x, place] of this.places) {
      if (this.isKnown(x) || !x.flow || x !== x.flow.outer) continue;
      const { offset, size } = this.kernel.field('flow', 'state');
      const state = FLOW_STATES[readField(this.kernel.recordOf(place.slot), offset, size)];
      const over = state === 'closed' || state === 'broken';
      if (!over && x.flow.reason !== undefined) askAbout(this.kernel, place, 'ASK_IDLE', now);
    }
  }

  private isKnown(x: Connection): boolean {
    return this.index.find(x.toShell)?.connection === x;
  }

  /** Tells the kernel to forget what the engine has forgotten. */
  forgetDue(all = false): void {
    for (const [x, place] of this.places) {
      if (this.isKnown(x)) continue;
      if (x.flow === undefined) {
        this.places.delete(x);
        this.forget(place);
        continue;
      }
      const relayed = x.flow.mode <= Mode.Clamp;
      place.forgetIn ??= relayed ? this.forgetAfter : 0;
      if (!all && place.forgetIn-- > 0) continue;
      this.places.delete(x);
      if (x === x.flow.outer) this.forget(place);
    }
  }

  private forget(place: Slot): void {
    askAbout(this.kernel, place, 'ASK_FORGET', 0);
    this.onForgotten();
  }
}
