/**
 * The reserved source ports of one local address, for inner connections (v1).
 *
 * A port is free, held or resting, never two of these at once. A free port comes back as late as possible
 * (first in, first out), so that late packets of its last connection meet nobody. One that may be in
 * TIME-WAIT (RFC 9293 section 3.6.1), or that somebody else has, rests before it is free again.
 */
import type { Clock } from '../platform/clock.js';
import type { PortRange } from '../platform/host.js';
import { type Endpoint, formatEndpoint } from '../wire/endpoint.js';

/** One held port. The first of `free` and `rest` counts, later calls do nothing. */
export interface PortLease {
  readonly port: number;
  free(): void;
  rest(): void;
}

export interface PortPoolStats {
  readonly size: number;
  readonly free: number;
  readonly held: number;
  readonly resting: number;
}

/** Linux keeps a connection in TIME-WAIT for 60 s (TCP_TIMEWAIT_LEN). */
export const REST_MS = 60_000;

/** A queue of at most `capacity` ports, each with a time. */
class PortRing {
  readonly #ports: Uint16Array;
  readonly #times: Float64Array;
  #head = 0;
  #count = 0;

  constructor(capacity: number) {
    this.#ports = new Uint16Array(capacity);
    this.#times = new Float64Array(capacity);
  }

  get count(): number {
    return this.#count;
  }

  /** Time of the oldest entry; infinite when there is none. */
  get headTime(): number {
    return this.#count > 0 ? (this.#times[this.#head] ?? 0) : Number.POSITIVE_INFINITY;
  }

  push(port: number, time: number): void {
    const at = (this.#head + this.#count) % this.#ports.length;
    this.#ports[at] = port;
    this.#times[at] = time;
    this.#count += 1;
  }

  shift(): number | undefined {
    if (this.#count === 0) return undefined;
    const port = this.#ports[this.#head];
    this.#head = (this.#head + 1) % this.#ports.length;
    this.#count -= 1;
    return port;
  }
}

export class PortPool {
  readonly #clock: Clock;
  readonly #restMs: number;
  readonly #size: number;
  readonly #free: PortRing;
  readonly #resting: PortRing;

  constructor({ from, to }: PortRange, clock: Clock, restMs = REST_MS) {
    this.#clock = clock;
    this.#restMs = restMs;
    this.#size = to - from + 1;
    this.#free = new PortRing(this.#size);
    this.#resting = new PortRing(this.#size);
    for (let port = from; port <= to; port++) this.#free.push(port, 0);
  }

  /** The port that has been free for the longest time; undefined when none is. */
  take(): PortLease | undefined {
    this.#wake();
    const port = this.#free.shift();
    return port === undefined ? undefined : this.#lease(port);
  }

  #lease(port: number): PortLease {
    let held = true;
    const giveBack = (to: PortRing, time: number): void => {
      if (!held) return;
      held = false;
      to.push(port, time);
    };
    return {
      port,
      free: () => giveBack(this.#free, 0),
      rest: () => giveBack(this.#resting, this.#clock.monotonic() + this.#restMs),
    };
  }

  /** Takes those of `ports` that are free. One pass over the pool, however many they are. */
  claim(ports: ReadonlySet<number>): PortLease[] {
    const leases: PortLease[] = [];
    for (let left = this.#free.count; left > 0; left--) {
      const port = this.#free.shift() ?? 0;
      if (ports.has(port)) leases.push(this.#lease(port));
      else this.#free.push(port, 0);
    }
    return leases;
  }

  get stats(): PortPoolStats {
    this.#wake();
    const free = this.#free.count;
    const resting = this.#resting.count;
    return { size: this.#size, free, held: this.#size - free - resting, resting };
  }

  /** All rest equally long, so the oldest one is always the first to be rested. */
  #wake(): void {
    const now = this.#clock.monotonic();
    while (this.#resting.headTime <= now) {
      const port = this.#resting.shift();
      if (port !== undefined) this.#free.push(port, 0);
    }
  }
}

/** Takes the ports of these ends from the pools of their addresses; the leases by `address:port`. */
export function claimPorts(
  pools: ReadonlyMap<string, PortPool>,
  ends: readonly Endpoint[],
): Map<string, PortLease> {
  const leases = new Map<string, PortLease>();
  for (const [address, pool] of pools) {
    const ports = new Set(ends.filter((end) => end.address === address).map(({ port }) => port));
    if (ports.size === 0) continue;
    for (const lease of pool.claim(ports)) leases.set(formatEndpoint({ address, port: lease.port }), lease);
  }
  return leases;
}
