/** Two switches of one group in a lab (`Rig.up(t, { standby: true })`), with their table in Redis beside them. */
import type { ConfigObject } from '../../../src/lab/stage.js';
import type { AdminClient } from '../../../src/switch/admin-client.js';
import { type Rig, TEST_DATAPLANE } from './rig.js';

/** On the bridge between the switches and the core, where both reach it. */
export const GROUP_REDIS = '10.201.3.9';
const INTERFACES = ['to-e', 'to-a', 'to-b'];

export function groupConfig(): ConfigObject {
  return {
    dataplane: TEST_DATAPLANE,
    table: `redis://${GROUP_REDIS}:6379/0`,
    standby: true,
    virtualAddresses: [1, 2, 3].flatMap((net) => {
      const device = INTERFACES[net - 1];
      return [`10.201.${net}.1/24`, `fd00:201:${net}::1/64`].map((address) => ({
        interface: device,
        address,
      }));
    }),
  };
}

export async function inRole(rig: Rig, admin: AdminClient, wanted: 'active' | 'standby'): Promise<void> {
  await rig.stage.until(
    async () => {
      const stats = await admin.stats().catch(() => undefined);
      // One that was deposed a moment ago has not begun anew yet.
      return stats?.role === wanted && (wanted === 'active' || stats.table.reason === 'standby');
    },
    30_000,
    () => `a switch is not ${wanted}`,
  );
}
