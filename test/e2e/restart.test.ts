/** A switch that is killed leaves nothing behind that breaks forwarding, and the next one starts clean. */
import t, { type Test } from 'tap';
import { addressOf, HTTP_PORT } from '../../src/lab/stage.js';
import { checkClosed, checkTransfer } from '../support/lab/checks.js';
import type { TransferResult } from '../support/lab/results.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';
import { transferStitched } from '../support/lab/transfers.js';

const BYTES = TEST_DATAPLANE === 'kernel' ? 60_000_000 : 5_000_000;
/** Longer than any machine needs for the rest of the test. */
const ENDLESS = 200_000_000_000;
const INTERFACES = ['to-e', 'to-a', 'to-b'];

/** Everything on S that a data path could have changed: rules, offloads, traffic control, forwarding. */
async function settings(rig: Rig): Promise<Record<string, string>> {
  const rules = await rig.tool('s', ['nft', 'list', 'ruleset']);
  const sysctls = await rig.tool('s', [
    'sysctl',
    '-a',
    '--pattern',
    '^net\\.(ipv4\\.ip_forward|ipv[46]\\.conf)',
  ]);
  const qdiscs = await rig.tool('s', ['tc', 'qdisc', 'show']);
  const routes = await rig.tool('s', ['sh', '-c', 'ip rule; ip route; ip -6 rule; ip -6 route | sort']);
  const offloads = await Promise.all(INTERFACES.map((name) => rig.tool('s', ['ethtool', '-k', name])));
  return { rules, sysctls, qdiscs, routes, offloads: offloads.join('\n') };
}

t.test('a switch that is killed and started again', async (t) => {
  const rig = await Rig.up(t);
  const fresh = await settings(rig);
  const roles = await rig.startPath();

  /** Straight from E to B: none of the shell's business. */
  async function forwardingWorks(t: Test): Promise<void> {
    for (const family of [4, 6] as const) {
      const args = { host: addressOf('b', family), port: HTTP_PORT, mode: 'both', bytes: BYTES, seed: 1 };
      const [result] = await rig.client<TransferResult>('transfer', args);
      checkTransfer(t, result, BYTES);
    }
  }

  async function throughShell(family: 4 | 6): Promise<TransferResult> {
    const args = { host: addressOf('a', family), port: HTTP_PORT, mode: 'both', bytes: BYTES, seed: 1 };
    const [result] = await rig.client<TransferResult>('transfer', args);
    return result as TransferResult;
  }

  const stitched = (family: 4 | 6): Promise<TransferResult> => {
    const host = addressOf('a', family);
    return transferStitched(rig, { host, port: HTTP_PORT, mode: 'both', bytes: BYTES, seed: 1 });
  };

  await t.test('before: both ways work', async (t) => {
    await forwardingWorks(t);
    const result = await stitched(4);
    checkTransfer(t, result, BYTES);
    await checkClosed(t, rig, result);
    t.notSame(await settings(rig), fresh, 'a running switch has its rules; the comparison sees them');
  });

  await t.test('killed: the host forwards, the shell relays', async (t) => {
    // In the middle of a transfer, with flows stitched.
    const args = { host: addressOf('a', 4), port: HTTP_PORT, mode: 'down', bytes: ENDLESS, seed: 1 };
    const running = rig.startClient('transfer', args);
    await rig.stage.until(
      async () => (await rig.stage.admin.flows()).some(({ state }) => state === 'stitched'),
      15_000,
      () => 'nothing was stitched',
    );
    roles.switch.kill('SIGKILL');
    await roles.switch.ended;
    await running.stop();
    await rig.stage.until(
      async () => (await settings(rig)).rules === fresh.rules,
      15_000,
      () => 'rules are left',
    );
    await forwardingWorks(t);
    for (const family of [4, 6] as const) checkTransfer(t, await throughShell(family), BYTES);
  });

  await t.test('started again: connections are stitched again', async (t) => {
    const again = await rig.stage.startSwitch({ dataplane: TEST_DATAPLANE });
    await Promise.all([rig.stage.agentReady('a1'), rig.stage.agentReady('b1')]);
    await forwardingWorks(t);
    for (const family of [4, 6] as const) {
      const result = await stitched(family);
      checkTransfer(t, result, BYTES);
      await checkClosed(t, rig, result);
    }
    t.strictSame(await again.stop(), { code: 0, signal: null }, 'it stops in order', {
      output: again.output,
    });
  });

  await t.test('stopped: S is as it was before', async (t) => {
    t.strictSame(await settings(rig), fresh);
    await forwardingWorks(t);
  });
});
