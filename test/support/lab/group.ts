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

type Role = 'active' | 'standby' | 'carrying';

async function roleOf(admin: AdminClient): Promise<Role | undefined> {
  const stats = await admin.stats().catch(() => undefined);
  // One that was deposed a moment ago has not begun anew yet.
  const isSettled = stats?.role === 'active' || stats?.table.reason === 'standby';
  return isSettled ? stats?.role : undefined;
}

export async function inRole(rig: Rig, admin: AdminClient, wanted: Role): Promise<void> {
  await rig.stage.until(
    async () => (await roleOf(admin)) === wanted,
    30_000,
    () => `a switch is not ${wanted}`,
  );
}

/** One is the active switch and all others follow it: on a busy machine any of them may be. */
export async function oneActive(rig: Rig, admins: readonly AdminClient[]): Promise<void> {
  let roles: readonly (Role | undefined)[] = [];
  await rig.stage.until(
    async () => {
      roles = await Promise.all(admins.map(roleOf));
      return roles.filter((role) => role === 'active').length === 1 && !roles.includes(undefined);
    },
    30_000,
    () => `the switches are ${roles.join(' and ')}`,
  );
}
