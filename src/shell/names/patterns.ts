/**
 * Names of hosts and patterns for them: `api.example.org` is that name, `*.example.org` every name below it, with
 * one label more or several, and not `example.org` itself. All in lower case, without a dot at the end.
 */

export function matchesName(pattern: string, name: string): boolean {
  return pattern.startsWith('*.') ? name.endsWith(pattern.slice(1)) : name === pattern;
}

/** What belongs to names: an exact pattern goes before a wildcard, and a longer wildcard before a shorter one. */
export class NameTable<Value> {
  readonly #exact = new Map<string, Value>();
  /** By what follows the star, dot included. */
  readonly #below = new Map<string, Value>();

  constructor(entries: Iterable<readonly [pattern: string, value: Value]>) {
    for (const [pattern, value] of entries) {
      if (pattern.startsWith('*.')) this.#below.set(pattern.slice(1), value);
      else this.#exact.set(pattern, value);
    }
  }

  get size(): number {
    return this.#exact.size + this.#below.size;
  }

  find(name: string): Value | undefined {
    const exact = this.#exact.get(name);
    if (exact !== undefined) return exact;
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const value = this.#below.get(name.slice(dot));
      if (value !== undefined) return value;
    }
    return undefined;
  }
}
