/**
 * A switch that is started a second time by mistake, beside one that runs: it says so, and the one that runs goes on as if
 * nothing had been. Some 5 s.
 */
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { addressOf, HTTP_PORT } from '../../src/lab/stage.js';
import { checkClosed, checkTransfer } from '../support/lab/checks.js';
import type { TransferResult } from '../support/lab/results.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';

const BYTES = 20_000_000;

t.test('a second switch changes nothing for the first', async (t) => {
  const rig = await Rig.up(t);
  await rig.startPath();
  const again = {
    name: 's1',
    interfaces: ['to-e', 'to-a', 'to-b'],
    auth: { mode: 'none' },
    dataplane: TEST_DATAPLANE,
  };
  const elsewhere = { control: { listen: '*:57700' }, discovery: { port: 57_701 } };
  const seconds = {
    'of the same name': { ...again, admin: `unix:${rig.file('again.sock')}` },
    'of the same name, on another interface': {
      ...again,
      ...elsewhere,
      interfaces: ['lo'],
      admin: `unix:${rig.file('lo.sock')}`,
    },
    'of another name, on the same interface': {
      ...again,
      ...elsewhere,
      name: 'other',
      interfaces: ['to-a'],
      admin: `unix:${rig.file('other.sock')}`,
    },
  };
  for (const [what, config] of Object.entries(seconds)) {
    const file = rig.file('second.yaml');
    writeFileSync(file, JSON.stringify(config));
    const { code, stderr } = await rig.suture('s', ['switch', '-c', file]);
    t.equal(code, 1, what);
    t.match(stderr, /SUT_ALREADY_RUNNING/, what);
  }
  t.equal((await rig.suture('e', ['discover'])).code, 0, 'the first one answers');
  const args = { host: addressOf('a', 4), port: HTTP_PORT, mode: 'both', bytes: BYTES, seed: 1 };
  const [result] = await rig.client<TransferResult>('transfer', args);
  checkTransfer(t, result, BYTES);
  await checkClosed(t, rig, result as TransferResult);
});
