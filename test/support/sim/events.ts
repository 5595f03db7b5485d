/**
 * Virtual time: a queue of things to happen, in milliseconds, held in a binary heap. Events at the same
 * time happen in the order in which they were asked for. Event objects are reused.
 */

export interface Wakeable {
  wake(code: number, item: unknown): void;
}

interface Event {
  at: number;
  order: number;
  target: Wakeable;
  code: number;
  item: unknown;
}

export class EventQueue {
  now = 0;
  #heap: Event[] = [];
  #free: Event[] = [];
  #order = 0;

  schedule(at: number, target: Wakeable, code: number, item: unknown = undefined): void {
    const event = this.#free.pop() ?? { at: 0, order: 0, target, code: 0, item: undefined };
    event.at = Math.max(at, this.now);
    event.order = this.#order++;
    event.target = target;
    event.code = code;
    event.item = item;
    this.#rise(event);
  }

  /** Lets the next event happen; false when there is none. */
  step(): boolean {
    const heap = this.#heap;
    const top = heap[0];
    if (top === undefined) return false;
    const last = heap.pop() as Event;
    if (heap.length > 0) this.#sink(last);
    this.now = top.at;
    const { target, code, item } = top;
    top.item = undefined;
    this.#free.push(top);
    target.wake(code, item);
    return true;
  }

  #rise(event: Event): void {
    const heap = this.#heap;
    let i = heap.length;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] as Event;
      if (!earlier(event, above)) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = event;
  }

  #sink(event: Event): void {
    const heap = this.#heap;
    const length = heap.length;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= length) break;
      if (child + 1 < length && earlier(heap[child + 1] as Event, heap[child] as Event)) child++;
      const below = heap[child] as Event;
      if (!earlier(below, event)) break;
      heap[i] = below;
      i = child;
    }
    heap[i] = event;
  }
}

function earlier(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
