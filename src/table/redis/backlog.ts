/**
 * What is still to be written, as ids: the content is read when it is written, so a flow that changes ten times
 * while Redis is away is written once. Three kinds: flows that changed, flows that are gone, and after a loss all
 * that there are (`rewrite`), which wait behind the others.
 *
 * It never holds more than `limit` changes. One more, and they are all dropped and `overflowed` is set: then only
 * comparing the whole table with Redis tells what is to be done.
 */

export interface Batch {
  readonly changed: readonly string[];
  readonly gone: readonly string[];
  /** It writes again what was written before: nothing in it is news. */
  readonly isRewrite: boolean;
  readonly waiters: readonly Waiter[];
}

interface Waiter {
  readonly id: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class Backlog {
  overflowed = false;
  /** Changes that were forgotten by an overflow. */
  dropped = 0;
  private readonly changed = new Set<string>();
  private readonly gone = new Set<string>();
  private rewriting: readonly string[] = [];
  private rewritten = 0;
  private taken = 0;
  private waiters: Waiter[] = [];
  private wake: () => void = () => {};

  constructor(private readonly limit: number) {}

  /** What is not known to be written: that which is being written too. */
  get size(): number {
    return this.waiting + this.taken;
  }

  private get waiting(): number {
    return this.changed.size + this.gone.size + this.rewriting.length - this.rewritten;
  }

  get isRewriting(): boolean {
    return this.rewritten < this.rewriting.length;
  }

  change(id: string): void {
    this.gone.delete(id);
    this.changed.add(id);
    this.added();
  }

  forget(id: string): void {
    this.changed.delete(id);
    this.gone.add(id);
    this.added();
  }

  /** It is still to be taken out. */
  isForgotten(id: string): boolean {
    return this.gone.has(id);
  }

  /** All of `ids`, in place of what was left of an earlier rewrite. */
  rewrite(ids: readonly string[]): void {
    this.rewriting = ids;
    this.rewritten = 0;
    this.overflowed = false;
    this.wake();
  }

  /** Resolves when the flow's change has been written, rejects when the next try fails. */
  written(id: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiters.push({ id, resolve, reject });
      this.change(id);
    });
  }

  /** Resolves when there is something to take, or at `signal`. */
  filled(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (this.waiting > 0 || signal.aborted) resolve();
    });
  }

  /** Up to `most` of each kind; those that someone waits for first. Undefined when there is nothing. */
  take(most: number): Batch | undefined {
    if (this.waiting === 0 && this.waiters.length === 0) return undefined;
    const waiters = this.waiters.splice(0, most);
    const chosen = new Set(waiters.map(({ id }) => id).filter((id) => !this.gone.has(id)));
    for (const id of firstOf(this.changed, most)) if (chosen.size < most) chosen.add(id);
    for (const id of chosen) this.changed.delete(id);
    const gone = this.takeGone(most);
    if (chosen.size > 0 || gone.length > 0) {
      this.taken = chosen.size + gone.length;
      return { changed: [...chosen], gone, isRewrite: false, waiters };
    }
    const again = this.rewriting.slice(this.rewritten, this.rewritten + most);
    this.rewritten += again.length;
    this.taken = again.length;
    return { changed: again, gone: [], isRewrite: true, waiters };
  }

  /** Only of those that are to be taken out. */
  takeGone(most: number): string[] {
    const gone = firstOf(this.gone, most);
    for (const id of gone) this.gone.delete(id);
    return gone;
  }

  done({ waiters }: Batch): void {
    this.taken = 0;
    for (const { resolve } of waiters) resolve();
    if (!this.isRewriting) this.rewriting = [];
    if (this.rewriting.length === 0) this.rewritten = 0;
  }

  /** It was not written, or nobody knows. What has changed since keeps its newer fate. */
  giveBack({ changed, gone, isRewrite, waiters }: Batch, error: Error): void {
    this.taken = 0;
    if (isRewrite) this.rewritten -= changed.length;
    else for (const id of changed) if (!this.gone.has(id)) this.changed.add(id);
    for (const id of gone) if (!this.changed.has(id)) this.gone.add(id);
    this.added();
    this.fail([...waiters, ...this.waiters.splice(0)], error);
  }

  /** Nobody gets what they wait for. */
  failWaiters(error: Error): void {
    this.fail(this.waiters.splice(0), error);
  }

  private fail(waiters: readonly Waiter[], error: Error): void {
    for (const { reject } of waiters) reject(error);
  }

  private added(): void {
    const count = this.changed.size + this.gone.size;
    if (count > this.limit) {
      this.dropped += count;
      this.overflowed = true;
      this.changed.clear();
      this.gone.clear();
    }
    this.wake();
  }
}

function firstOf(ids: ReadonlySet<string>, most: number): string[] {
  const found: string[] = [];
  for (const id of ids) {
    if (found.length === most) break;
    found.push(id);
  }
  return found;
}
