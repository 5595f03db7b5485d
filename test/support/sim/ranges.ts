/** A set of disjoint half-open ranges of plain numbers, sorted. It stays small, so a flat array will do. */
export class Ranges {
  readonly #bounds: number[] = [];

  get count(): number {
    return this.#bounds.length / 2;
  }

  left(index: number): number {
    return this.#bounds[2 * index] as number;
  }

  right(index: number): number {
    return this.#bounds[2 * index + 1] as number;
  }

  clear(): void {
    this.#bounds.length = 0;
  }

  /** Adds [left, right); gives how much of it was new. */
  add(left: number, right: number): number {
    const b = this.#bounds;
    let i = 0;
    while (i < b.length && (b[i + 1] as number) < left) i += 2;
    let from = left;
    let to = right;
    let known = 0;
    let j = i;
    while (j < b.length && (b[j] as number) <= right) {
      const l = b[j] as number;
      const r = b[j + 1] as number;
      known += Math.max(0, Math.min(r, right) - Math.max(l, left));
      if (l < from) from = l;
      if (r > to) to = r;
      j += 2;
    }
    b.splice(i, j - i, from, to);
    return right - left - known;
  }

  /** Forgets everything below `edge`. */
  trim(edge: number): void {
    const b = this.#bounds;
    while (b.length > 0 && (b[1] as number) <= edge) b.splice(0, 2);
    if (b.length > 0 && (b[0] as number) < edge) b[0] = edge;
  }

  /** The end of the run of covered numbers at `at`: `at` itself where nothing covers it. */
  endOfRun(at: number): number {
    const b = this.#bounds;
    for (let i = 0; i < b.length; i += 2) {
      if (at < (b[i] as number)) break;
      if (at < (b[i + 1] as number)) return b[i + 1] as number;
    }
    return at;
  }

  /** Where the first range that begins after `at` begins, at most `limit`. */
  nextLeft(at: number, limit: number): number {
    const b = this.#bounds;
    for (let i = 0; i < b.length; i += 2) if ((b[i] as number) > at) return Math.min(limit, b[i] as number);
    return limit;
  }

  /** How much of [left, right) is in the set. */
  covered(left: number, right: number): number {
    const b = this.#bounds;
    let sum = 0;
    for (let i = 0; i < b.length; i += 2) {
      const l = Math.max(left, b[i] as number);
      const r = Math.min(right, b[i + 1] as number);
      if (r > l) sum += r - l;
    }
    return sum;
  }
}
