/**
 * The host of the active switch is cut off, with many stitched connections in the middle of a transfer: the standby goes
 * on with them, and they know nothing of it but a pause. Then the first one is promoted, and it goes back. About 40 s.
 *
 * `SUTURE_STANDBY_FLOWS=200` takes so many connections (20), `SUTURE_STANDBY_LEASE=800ms` another lease than the default.
 * `SUTURE_STANDBY_BUSY=60` makes the machine as busy as can be for so many seconds first, in which the lease must stay where it is.
 * The pauses are printed, not judged: a busy machine takes longer, and a switch that does not get to prolong a short lease
 * loses it.
 */
import { cpus } from 'node:os';
import t, { type Test } from 'tap';
import { startRedis } from '../../src/lab/redis.js';
import { addressOf, RAW_PORT } from '../../src/lab/stage.js';
import { systemClock } from '../../src/platform/clock.js';
import type { AdminClient } from '../../src/switch/admin-client.js';
import { spread } from '../support/lab/checks.js';
import { GROUP_REDIS, groupConfig, inRole } from '../support/lab/group.js';
import { Rig } from '../support/lab/rig.js';

const FLOWS = Number(process.env.SUTURE_STANDBY_FLOWS ?? 20);
const LEASE = process.env.SUTURE_STANDBY_LEASE;
/** Between two messages of a connection, so that many leave the machine some time for the rest. */
const GAP_MS = Math.max(10, FLOWS / 2);
const BUSY_SECONDS = Number(process.env.SUTURE_STANDBY_BUSY ?? 0);
/** Programs that do nothing but use a processor, for each that there is. */
const BURNERS = 4;
const CONFIG = { ...groupConfig(), ...(LEASE && { redis: { lease: LEASE } }) };

interface Rally {
  readonly local: string;
  readonly remote: string;
  readonly rounds: number;
  readonly worstMs: number;
  readonly error?: string;
}

t.test('the standby takes over, and gives back', async (t) => {
  const rig = await Rig.up(t, { standby: true });
  await rig.tool('w', ['ip', 'addr', 'add', `${GROUP_REDIS}/24`, 'dev', 'br-b']);
  await startRedis(rig.stage, { host: 'w', address: GROUP_REDIS });
  const { switch: active } = await rig.startPath({ switchConfig: CONFIG });
  const first = rig.stage.admin;
  const { admin: second } = await rig.stage.startStandby(CONFIG);
  await inRole(rig, second, 'standby');

  async function rally(t: Test, active: AdminClient, change: () => Promise<void>): Promise<void> {
    const go = rig.go();
    const args = { host: addressOf('a', 4), port: RAW_PORT, connections: FLOWS, rounds: 1, seed: 7 };
    // A shell that opens many at once on a busy machine waits too long for its switch, and relays some for good.
    const sizes = { min: 1_000, max: 60_000, gapMs: GAP_MS, oneByOne: true, until: go.path };
    let states: Readonly<Record<string, number>> = {};
    const rallying = rig.client<Rally[]>('pingpong', { ...args, ...sizes });
    await rig.stage.until(
      async () => {
        states = countOf(
          (await active.flows()).map(({ state, reason }) =>
            state === 'stitched' ? state : `${state} (${reason})`,
          ),
        );
        return states.stitched === FLOWS;
      },
      60_000,
      () => `${FLOWS} connections should have been stitched, and are ${JSON.stringify(states)}`,
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

  const lease = { skip: BUSY_SECONDS === 0 && 'only with SUTURE_STANDBY_BUSY' };
  await t.test('a busy machine', lease, async (t) => {
    const holder = (): Promise<string> =>
      rig.tool('b', ['redis-cli', '-h', GROUP_REDIS, 'hmget', 'suture:{default}:lease', 'name', 'number']);
    const before = await holder();
    await rally(t, first, async () => {
      const burning = Array.from({ length: BURNERS * cpus().length }, (_, i) =>
        rig.stage.start(`burner ${i}`, 'w', [process.execPath, '-e', 'for(;;);']),
      );
      await systemClock.sleep(BUSY_SECONDS * 1000);
      await Promise.all(burning.map((one) => one.stop()));
    });
    t.equal(await holder(), before, 'the lease is where it was');
    await closed(rig, first);
  });

  await t.test('the active host is cut off', async (t) => {
    await rally(t, first, async () => {
      await links('down');
      await inRole(rig, second, 'active');
      t.match((await second.stats()).counters, { 'start.adopted': FLOWS, 'start.lost': 0 });
      await agents(rig, second);
    });
    await closed(rig, second);
  });

  await t.test('it is back: it follows, and is promoted', async (t) => {
    await links('up');
    await inRole(rig, first, 'standby');
    await rally(t, second, async () => {
      await following(rig, first);
      const promoted = await rig.suture('s', [
        'switch',
        '--promote',
        '--admin',
        `unix:${rig.stage.adminSocket}`,
      ]);
      t.equal(promoted.code, 0, promoted.stderr);
      await inRole(rig, first, 'active');
      await inRole(rig, second, 'standby');
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
      await inRole(rig, second, 'active');
      await agents(rig, second);
    });
    await closed(rig, second);
  });
});

function countOf(values: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
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
