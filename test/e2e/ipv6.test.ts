/**
 * A network without IPv4: discovery, control, routes and stitching by IPv6 alone. And a shell between the families: a
 * route from one to the other is never stitched, the shell says why at its start, and what comes is relayed to its end.
 */
import t from 'tap';
import { addressOf, endpointOf, type Family, HTTP_PORT, route } from '../../src/lab/stage.js';
import { checkClosed, checkTransfer } from '../support/lab/checks.js';
import type { TransferResult } from '../support/lab/results.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';
import { transferStitched } from '../support/lab/transfers.js';

const BYTES = 5_000_000;
const MIXED_PORT = 8085;

async function transfer(rig: Rig, port: number, family: Family): Promise<TransferResult> {
  const args = { host: addressOf('a', family), port, mode: 'both', bytes: BYTES, seed: port };
  const [result] = await rig.client<TransferResult>('transfer', args);
  if (!result) throw new Error('no result');
  return result;
}

t.test('without IPv4', async (t) => {
  const rig = await Rig.up(t);
  for (const host of ['e', 's', 'a', 'b'] as const) {
    await rig.tool(host, ['ip', '-4', 'addr', 'flush', 'scope', 'global']);
    const left = await rig.tool(host, ['ip', '-4', '-br', 'addr', 'show', 'scope', 'global']);
    t.equal(left.trim(), '', `${host} has no IPv4 address`);
  }
  const server = rig.startClient(
    'web-server',
    { host: addressOf('b', 6), ports: [HTTP_PORT], names: ['b'] },
    { host: 'b' },
  );
  const agent = (name: string, role: string, host: 'a' | 'b') => ({
    name,
    role,
    addresses: [addressOf(host, 6)],
  });
  const agents = [agent('a1', 'shell', 'a'), agent('b1', 'core', 'b')];
  await rig.stage.startSwitch({ dataplane: TEST_DATAPLANE, agents });
  await Promise.all([
    server.report(0),
    rig.stage.startCore([endpointOf('b', HTTP_PORT, 6)]),
    rig.stage.startShell([route(HTTP_PORT, HTTP_PORT, 'now', 6)]),
  ]);

  await t.test('discovery', async (t) => {
    for (const host of ['a', 'b', 'e'] as const) {
      const { code, stdout } = await rig.suture(host, ['discover', '--json']);
      t.equal(code, 0, host);
      t.match(JSON.parse(stdout), { available: true, switch: 's1', control: /^\[(fd00:201|fe80):/ });
    }
  });

  await t.test('sessions', async (t) => {
    for (const { name, connected, from } of await rig.stage.admin.agents()) {
      t.ok(connected, name);
      t.match(from, /(fd00:201:|fe80:)/, `${name} from ${from}`);
    }
  });

  await t.test('stitched', async (t) => {
    const url = `http://[${addressOf('a', 6)}]:${HTTP_PORT}/download?bytes=${BYTES}&seed=7`;
    const format = '%{size_download} %{local_port}';
    const text = await rig.tool('e', ['curl', '-gsS', '-o', `${rig.folder}/got`, '-w', format, url]);
    const [size, port] = text.split(' ');
    t.equal(Number(size), BYTES);
    const [made] = await rig.client<{ sha256: string }>('hash', { bytes: BYTES, seed: 7 });
    const [hash] = (await rig.tool('e', ['sha256sum', `${rig.folder}/got`])).split(' ');
    t.equal(hash, made?.sha256, 'SHA-256');
    const ends = { local: `[${addressOf('e', 6)}]:${port}`, remote: endpointOf('a', HTTP_PORT, 6) };
    const flow = await rig.closed(ends);
    t.ok(flow.stitchedAt, 'it was stitched', { history: flow.history });
    t.strictSame(flow.toShellStitched, { packets: 0, bytes: 0 });
  });
});

t.test('from one family to the other', async (t) => {
  const rig = await Rig.up(t);
  const mixed = ([4, 6] as const).map((family) => ({
    listen: endpointOf('a', MIXED_PORT, family),
    core: endpointOf('b', HTTP_PORT, family === 4 ? 6 : 4),
    stitch: 'now' as const,
  }));
  const { shell } = await rig.startPath({ routes: [...mixed, route(HTTP_PORT, HTTP_PORT, 'now', 6)] });
  await t.test('the shell says that it will not be stitched, and why', async (t) => {
    for (const { listen } of mixed) {
      const text = await shell.line(
        new RegExp(`"${listen.replace(/[[\].]/g, '\\$&')}".*IPv4 and IPv6`),
        5000,
      );
      t.match(text, /never stitched/);
    }
  });
  for (const family of [4, 6] as const) {
    await t.test(`IPv${family} to IPv${family === 4 ? 6 : 4}: relayed to its end`, async (t) => {
      const result = await transfer(rig, MIXED_PORT, family);
      checkTransfer(t, result, BYTES);
      const flows = (await rig.stage.admin.flows()).filter(({ outer }) => outer.remote === result.local);
      t.strictSame(flows, [], 'no flow was asked for');
    });
  }
  await t.test('beside it one family is stitched', async (t) => {
    const args = { host: addressOf('a', 6), port: HTTP_PORT, mode: 'both', bytes: BYTES, seed: 6 } as const;
    await checkClosed(t, rig, await transferStitched(rig, args));
  });
});
