/** Losing packets in a bridged lab: on each leg, in both directions, between the hosts' own interfaces. */

/** An nftables file for the namespace of the wires. `counter` tells how many were lost. */
export function lossRules(percent: number): string {
  return `table bridge loss {
  chain forward {
    type filter hook forward priority 0
    meta protocol { ip, ip6 } numgen random mod 100 < ${percent} counter drop
  }
}
`;
}
