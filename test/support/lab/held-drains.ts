/**
 * Connections that are cut and don't come to the end of their drain: what the shell sends to who opened them gets lost,
 * acknowledgments apart. For the load's kind `held`.
 */
import type { Rig } from './rig.js';

/** Of a route's stitch, in bytes: something of what the peer is to get is still with the shell then. */
export const CUT_WHILE_HELD = 60_000;
/**
 * So that a drain ends soon after it may, instead of as long again as it was held, and who waits in vain is not given up.
 * Kernels before 6.15 have no limit of their own for the first.
 */
const PATIENCE = ['net.ipv4.tcp_rto_max_ms=1000', 'net.ipv4.tcp_retries2=255'];

/** Of connections to this port of the shell's that are opened from now on. */
export async function holdDrains(rig: Rig, port: number): Promise<void> {
  const rules = `table inet hold {
  chain output {
    type filter hook output priority 0
    tcp sport ${port} tcp flags ! syn meta length > 200 drop
  }
}
`;
  await rig.tool('a', ['sysctl', '-qew', ...PATIENCE]);
  await rig.tool('a', ['nft', '-f', '-'], rules);
}

export async function letDrainsGo(rig: Rig): Promise<void> {
  await rig.tool('a', ['nft', 'delete', 'table', 'inet', 'hold']);
}
