/**
 * Routes of the hosts of a lab with two switches: which of both each packet takes. Rules of nftables mark the packets that
 * leave a host for another network, and the mark chooses a routing table.
 */
import { LAB_LEGS, type LabLeg } from '../../../src/lab/layout.js';
import type { Rig } from './rig.js';

/** Each packet by either at random, each connection by one of both, or all by one. */
export type Way = 'spray' | 'per-flow' | 's' | 's2';

const TABLES = { s: 101, s2: 102, both: 103 } as const;

/** To be called once. */
export async function prepareWays(rig: Rig): Promise<void> {
  await Promise.all(
    LAB_LEGS.map(async ({ host, ownAddresses }) => {
      const lines = ([0, 1] as const).flatMap((family) => {
        const rule = family === 0 ? 'rule add' : '-6 rule add';
        const [s, s2] = [ownAddresses.s[family], ownAddresses.s2[family]];
        const route = family === 0 ? 'route add default' : '-6 route add default';
        return [
          ...Object.values(TABLES).map((table) => `${rule} fwmark ${table} lookup ${table}`),
          `${route} via ${s} table ${TABLES.s}`,
          `${route} via ${s2} table ${TABLES.s2}`,
          `${route} table ${TABLES.both} nexthop via ${s} nexthop via ${s2}`,
        ];
      });
      for (const line of lines) await rig.tool(host, ['ip', ...line.split(' ')]);
      // By ports too: one host has many connections.
      const policies = ['ipv4', 'ipv6'].map((ip) => `net.${ip}.fib_multipath_hash_policy=1`);
      await rig.tool(host, ['sysctl', '-qw', ...policies]);
    }),
  );
}

export async function take(rig: Rig, way: Way): Promise<void> {
  await Promise.all(LAB_LEGS.map((leg) => rig.tool(leg.host, ['nft', '-f', '-'], rules(leg, way))));
}

function rules({ address4, address6 }: LabLeg, way: Way): string {
  const mark = {
    spray: `numgen random mod 2 map { 0 : ${TABLES.s}, 1 : ${TABLES.s2} }`,
    'per-flow': TABLES.both,
    s: TABLES.s,
    s2: TABLES.s2,
  }[way];
  return `
table inet ways
delete table inet ways
table inet ways {
  chain output {
    type route hook output priority mangle
    ip daddr ${address4}/24 accept
    ip6 daddr ${address6}/64 accept
    oif lo accept
    meta l4proto tcp meta mark set ${mark}
  }
}
`;
}
