/** Arithmetic on port ranges. A range holds `from` and `to`; ranges of two addresses never meet. */
import type { OwnedPorts } from '../flow/endpoints.js';
import type { Endpoint } from '../wire/endpoint.js';

export function overlap(a: OwnedPorts, b: OwnedPorts): boolean {
  return a.address === b.address && a.from <= b.to && b.from <= a.to;
}

export function holds(range: OwnedPorts, endpoint: Endpoint): boolean {
  return range.address === endpoint.address && range.from <= endpoint.port && endpoint.port <= range.to;
}

/** What of `range` is in none of `others`, as disjoint ranges in rising order. */
export function subtract(range: OwnedPorts, others: Iterable<OwnedPorts>): OwnedPorts[] {
  let rest: OwnedPorts[] = [range];
  for (const other of others) {
    rest = rest.flatMap((part) => {
      if (!overlap(part, other)) return [part];
      const left = { ...part, to: other.from - 1 };
      const right = { ...part, from: other.to + 1 };
      return [left, right].filter(({ from, to }) => from <= to);
    });
  }
  return rest;
}

export function formatRange({ address, from, to }: OwnedPorts): string {
  const host = address.includes(':') ? `[${address}]` : address;
  return from === to ? `${host}:${from}` : `${host}:${from}-${to}`;
}

const PORTS = 65_536;
/** Ports that lie this close together are taken for parts of one range. */
const NEAR = 64;

/** A few ranges that hold all of `ends`: who reserved them asked for ranges too, and nobody knows which. */
export function rangesOver(ends: Iterable<Endpoint>): OwnedPorts[] {
  const portsOf = new Map<string, Uint8Array>();
  for (const { address, port } of ends) {
    const ports = portsOf.get(address) ?? new Uint8Array(PORTS);
    ports[port] = 1;
    portsOf.set(address, ports);
  }
  const ranges: { address: string; from: number; to: number }[] = [];
  for (const [address, ports] of portsOf) {
    for (let port = ports.indexOf(1); port >= 0; port = ports.indexOf(1, port + 1)) {
      const last = ranges.at(-1);
      if (last?.address === address && port - last.to <= NEAR) last.to = port;
      else ranges.push({ address, from: port, to: port });
    }
  }
  return ranges;
}
