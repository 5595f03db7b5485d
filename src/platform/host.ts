/** Facts of this host that a config is checked against. Read from /proc; undefined where there is none. */
import { readFileSync } from 'node:fs';

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

export interface HostPorts {
  /** What the kernel hands out by itself (`net.ipv4.ip_local_port_range`; it covers IPv6 as well). */
  readonly ephemeral: PortRange;
  /** What it leaves out of that (`net.ipv4.ip_local_reserved_ports`). */
  readonly reserved: readonly PortRange[];
}

/** `20000-29999` or `8080`; undefined when it is neither or out of 0 … 65535. */
export function parsePortRange(text: string): PortRange | undefined {
  const match = /^(\d{1,5})(?:\s*-\s*(\d{1,5}))?$/.exec(text.trim());
  if (!match) return undefined;
  const from = Number(match[1]);
  const to = Number(match[2] ?? match[1]);
  return from <= to && to <= 65535 ? { from, to } : undefined;
}

export function parseHostPorts(localRange: string, reserved: string): HostPorts | undefined {
  const ephemeral = parsePortRange(localRange.trim().replace(/\s+/, '-'));
  if (!ephemeral) return undefined;
  const ranges = reserved.split(',').map(parsePortRange);
  return { ephemeral, reserved: ranges.filter((range) => range !== undefined) };
}

export function readHostPorts(): HostPorts | undefined {
  try {
    const read = (name: string): string => readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8');
    return parseHostPorts(read('ip_local_port_range'), read('ip_local_reserved_ports'));
  } catch {
    return undefined;
  }
}

/** The first ports of `range` that the kernel may hand out to others, or undefined when there are none. */
export function ephemeralOverlap(range: PortRange, host: HostPorts): PortRange | undefined {
  const to = Math.min(range.to, host.ephemeral.to);
  let from = Math.max(range.from, host.ephemeral.from);
  const kept = [...host.reserved].sort((a, b) => a.from - b.from);
  for (const { from: low, to: high } of kept) {
    if (low <= from && high >= from) from = high + 1;
  }
  return from <= to ? { from, to } : undefined;
}
