/**
 * On the kernel path a switch process may die: its flows go on, and the next process takes them over. The userspace
 * path has nothing that outlives its process (`restart.test.ts`).
 */
import t from 'tap';
import { addressOf, HTTP_PORT } from '../../src/lab/stage.js';
import { checkClosed, checkTransfer } from '../support/lab/checks.js';
import type { KeepAliveResult, TransferResult } from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';

const CONNECTIONS = 100;
const REQUESTS = 3000;
const BYTES = 1_000_000_000;

t.test('100 stitched flows and a transfer outlive the switch process', async (t) => {
  const rig = await Rig.up(t);
  const switchConfig = { dataplane: 'kernel' };
  const roles = await rig.startPath({ switchConfig });
  const chat = { host: addressOf('a', 4), port: HTTP_PORT, connections: CONNECTIONS, requests: REQUESTS };
  const chatting = rig.client<KeepAliveResult[]>('keepalive', chat);
  const bulk = { host: addressOf('a', 6), port: HTTP_PORT, mode: 'down', bytes: BYTES, seed: 1 };
  const transferring = rig.client<TransferResult>('transfer', bulk);
  const stitched = async (): Promise<number> =>
    (await rig.stage.admin.flows()).filter(({ state }) => state === 'stitched').length;
  await rig.stage.until(
    async () => (await stitched()) >= CONNECTIONS + 1,
    30_000,
    () => 'the flows were not stitched',
  );
  const resets = await Promise.all((['e', 'b'] as const).map((host) => resetsOf(rig, host)));

  roles.switch.kill('SIGKILL');
  await roles.switch.ended;
  await rig.stage.startSwitch(switchConfig);
  t.ok((await stitched()) > 0, 'the new process knows the flows of the old one');

  const [[results = []], [transferred]] = await Promise.all([chatting, transferring]);
  checkTransfer(t, transferred, BYTES);
  t.equal(results.length, CONNECTIONS);
  for (const result of results) {
    t.strictSame(
      { requests: result.requests, error: result.error },
      { requests: REQUESTS, error: undefined },
    );
    await checkClosed(t, rig, result);
  }
  if (transferred) await checkClosed(t, rig, transferred);
  const after = await Promise.all((['e', 'b'] as const).map((host) => resetsOf(rig, host)));
  t.strictSame(after, resets, 'no end saw or sent a reset');
});

async function resetsOf(rig: Rig, host: 'e' | 'b'): Promise<string> {
  const text = await rig.tool(host, ['nstat', '-asz', 'TcpEstabResets', 'TcpOutRsts']);
  return text.replace(/^#.*\n/, '');
}
