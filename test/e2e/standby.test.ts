/**
 * The host of the active switch is cut off, with many stitched connections in the middle of a transfer: the standby goes
 * on with them, and they know nothing of it but a pause. Then the first one is promoted, and it goes back. About 40 s.
 *
 * `SUTURE_STANDBY_FLOWS=n` takes n connections. The pauses are printed, not judged: a busy machine takes longer. The
 * lease is as long as by default: a switch that does not get to prolong a short one, because the machine is busy, loses it.
 */
import t, { type Test } from 'tap';
import { addressOf, RAW_PORT } from '../../src/lab/stage.js';
import type { AdminClient } from '../../src/switch/admin-client.js';
import { spread } from '../support/lab/checks.js';
import { startRedis } from '../support/lab/redis.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';

const FLOWS = Number(process.env.SUTURE_STANDBY_FLOWS ?? 20);
const INTERFACES = ['to-e', 'to-a', 'to-b'];
/** On the bridge between the switches and the core, where both reach it. */
const REDIS = '10.201.3.9';
const CONFIG = {
  dataplane: TEST_DATAPLANE,
  table: `redis://${REDIS}:6379/0`,
  standby: true,
  virtualAddresses: [1, 2, 3].flatMap((net) => {
    const device = INTERFACES[net - 1];
    return [`10.201.${net}.1/24`, `fd00:201:${net}::1/64`].map((address) => ({ interface: device, address }));
  }),
};

interface Rally {
  readonly local: string;
  readonly remote: string;
  readonly rounds: number;
  readonly worstMs: number;
  readonly error?: string;
}

t.test('the standby takes over, and gives back', async (t) => {
  const rig = await Rig.up(t, { standby: true });
  await rig.tool('w', ['ip', 'addr', 'add', `${REDIS}/24`, 'dev', 'br-b']);
  await startRedis(rig, 'w', REDIS);
  const { switch: active } = await rig.startPath({ switchConfig: CONFIG });
  const first = rig.stage.admin;
  const { admin: second } = await rig.stage.startStandby(CONFIG);
  await role(rig, second, 'standby');

  async function rally(t: Test, active: AdminClient, change: () => Promise<void>): Promise<void> {
    const go = rig.go();
    const args = { host: addressOf('a', 4), port: RAW_PORT, connections: FLOWS, rounds: 1, seed: 7 };
    const sizes = { min: 1_000, max: 60_000, gapMs: 10, until: go.path };
    const rallying = rig.client<Rally[]>('pingpong', { ...args, ...sizes });
    await rig.stage.until(
      async () => (await active.flows({ state: 'stitched' })).length === FLOWS,
      60_000,
      () => `${FLOWS} connections should have been stitched`,
    );
    await rig.stage.until(
      async () => (await active.stats()).counters['table.queued'] === 0,
      15_000,
      () => 'not all is in Redis',
    );
    await change();
    go.say();
    const [results = []] = await rallying;
    t.equal(results.length, FLOWS);
    t.strictSame(
      results.flatMap(({ error }) => error ?? []),
      [],
      'no connection was lost, and no byte was wrong',
    );
    t.comment(`pause of ${FLOWS} connections: ${spread(results.map(({ worstMs }) => worstMs))} ms`);
  }

  /** At the far ends, as if somebody pulled the cables. */
  const links = (how: 'up' | 'down'): Promise<unknown> =>
    Promise.all(['s-e', 's-a', 's-b'].map((port) => rig.tool('w', ['ip', 'link', 'set', port, how])));

  await t.test('the active host is cut off', async (t) => {
    await rally(t, first, async () => {
      await links('down');
      await role(rig, second, 'active');
      t.match((await second.stats()).counters, { 'start.adopted': FLOWS, 'start.lost': 0 });
      await agents(rig, second);
    });
    await closed(rig, second);
  });

  await t.test('it is back: it follows, and is promoted', async (t) => {
    await links('up');
    await role(rig, first, 'standby');
    await rally(t, second, async () => {
      await following(rig, first);
      const promoted = await rig.suture('s', [
        'switch',
        '--promote',
        '--admin',
        `unix:${rig.stage.adminSocket}`,
      ]);
      t.equal(promoted.code, 0, promoted.stderr);
      await role(rig, first, 'active');
      await role(rig, second, 'standby');
      t.match((await first.stats()).counters, { 'start.lost': 0 });
      await agents(rig, first);
    });
    await closed(rig, first);
  });

  await t.test('the active one is stopped in order', async (t) => {
    await rally(t, first, async () => {
      await following(rig, second);
      const { code } = await active.stop();
      t.equal(code, 0);
      await role(rig, second, 'active');
      await agents(rig, second);
    });
    await closed(rig, second);
  });
});

async function role(rig: Rig, admin: AdminClient, wanted: 'active' | 'standby'): Promise<void> {
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

/** The standby has all flows. */
async function following(rig: Rig, admin: AdminClient): Promise<void> {
  await rig.stage.until(
    // It has just begun anew, perhaps.
    async () => (await admin.flows({ state: 'stitched' }).catch(() => [])).length === FLOWS,
    30_000,
    () => 'the standby does not follow',
  );
}

/** Both agents have found the switch that is active now. */
async function agents(rig: Rig, admin: AdminClient): Promise<void> {
  await rig.stage.until(
    async () => (await admin.agents()).every(({ connected, reserved }) => connected && reserved.length > 0),
    60_000,
    () => 'the agents are not with the active switch',
  );
}

async function closed(rig: Rig, admin: AdminClient): Promise<void> {
  let open = await admin.flows();
  await rig.stage.until(
    async () => {
      open = (await admin.flows()).filter(({ state }) => state !== 'closed');
      return open.length === 0;
    },
    30_000,
    () => `not all flows have ended: ${JSON.stringify(open.slice(0, 3))} of ${open.length}`,
  );
}
