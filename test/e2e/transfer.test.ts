/** Large transfers through a stitched flow, byte for byte, while the shell's own host counts what reaches it. */
import t from 'tap';
import { arrivalsOf, ShellCounter } from '../../src/lab/shell-counter.js';
import { addressOf, HTTP_PORT } from '../../src/lab/stage.js';
import { checkClosed, checkTransfer } from '../support/lab/checks.js';
import { Rig } from '../support/lab/rig.js';
import { transferStitched } from '../support/lab/transfers.js';

const MB = 1_000_000;

t.test('transfers through a stitched flow', async (t) => {
  const rig = await Rig.up(t);
  await rig.startPath();
  const counter = new ShellCounter(rig.namespace('a'));
  await counter.start();

  const cases = [
    { family: 4, mode: 'down', bytes: 200 * MB },
    { family: 4, mode: 'up', bytes: 200 * MB },
    { family: 4, mode: 'both', bytes: 200 * MB },
    { family: 6, mode: 'down', bytes: 30 * MB },
    { family: 6, mode: 'up', bytes: 30 * MB },
    { family: 6, mode: 'both', bytes: 30 * MB },
  ] as const;
  for (const { family, mode, bytes } of cases) {
    await t.test(`IPv${family}: ${bytes / MB} MB, ${mode}`, async (t) => {
      const args = { host: addressOf('a', family), port: HTTP_PORT, mode, bytes, seed: bytes };
      let arrived = { packets: 0, bytes: 0 };
      const result = await transferStitched(rig, args, async (ends) => {
        const { outer, inner } = await rig.stitched(ends);
        arrived = arrivalsOf(await counter.read(), outer, inner);
      });
      checkTransfer(t, result, bytes);
      const flow = await checkClosed(t, rig, result);
      const after = arrivalsOf(await counter.read(), flow.outer, flow.inner);
      t.strictSame(after, arrived, 'no packet reached A');
      t.ok(arrived.packets > 0, 'A had seen it before');
      const seconds = result.ms / 1000;
      const megabits = ((result.written + result.read) * 8) / 1e6 / seconds;
      t.comment(`${result.transfers} transfers, ${seconds.toFixed(1)} s, ${megabits.toFixed(0)} Mbit/s`);
    });
  }

  await t.test('the command line shows the same flows', async (t) => {
    const args = ['--json', '--admin', `unix:${rig.stage.adminSocket}`];
    const listed = await rig.suture('s', ['flows', 'list', ...args]);
    t.equal(listed.code, 0);
    t.strictSame(JSON.parse(listed.stdout), await rig.stage.admin.flows());
    t.equal(JSON.parse(listed.stdout).length, cases.length);
  });
});
