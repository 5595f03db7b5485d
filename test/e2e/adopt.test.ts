/**
 * On the kernel path a switch process may die: its flows go on, and the next process takes them over. The userspace
 * path has nothing that outlives its process (`restart.test.ts`).
 */
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { addressOf, endpointOf, HTTP_PORT, RAW_PORT } from '../../src/lab/stage.js';
import { checkClosed, checkTransfer, spread } from '../support/lab/checks.js';
import { CUT_WHILE_HELD, holdDrains, letDrainsGo } from '../support/lab/held-drains.js';
import type { Ends, KeepAliveResult, TransferResult } from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';

const CONNECTIONS = 100;
const FORWARD_PORT = 9001;
const REQUESTS = 300;
/** Of each transfer; they go on, one after the other on one connection, until the new process is there. */
const BYTES = 100_000_000;

t.test('100 stitched flows and transfers outlive the switch process', async (t) => {
  const rig = await Rig.up(t);
  const switchConfig = { dataplane: 'kernel' };
  const roles = await rig.startPath({ switchConfig });
  const go = rig.go();
  const stitched = async (): Promise<number> =>
    (await rig.stage.admin.flows()).filter(({ state }) => state === 'stitched').length;
  const untilStitched = (count: number): Promise<void> =>
    rig.stage.until(
      async () => (await stitched()) === count,
      30_000,
      () => `${count} flows should have been stitched`,
    );

  const to = (family: 4 | 6): object => ({ host: addressOf('a', family), port: HTTP_PORT });
  const chat = { ...to(4), connections: CONNECTIONS, requests: REQUESTS, until: go.path };
  const chatting = rig.client<KeepAliveResult[]>('keepalive', chat);
  await untilStitched(CONNECTIONS);
  const bulk = { ...to(6), mode: 'down', bytes: BYTES, seed: 1, until: go.path };
  const transfers = rig.startClient('transfer', bulk);
  await untilStitched(CONNECTIONS + 1);
  const resets = await Promise.all((['e', 'b'] as const).map((host) => resetsOf(rig, host)));

  roles.switch.kill('SIGKILL');
  await roles.switch.ended;
  const failing = rig.file('failing.yaml');
  writeFileSync(failing, JSON.stringify(unableToListen(rig)));
  const failed = await rig.suture('s', ['switch', '-c', failing]);
  t.match(
    failed,
    { code: 2, stderr: /SUT_CONFIG_INVALID/ },
    'a start that fails leaves them to the next one',
  );
  await rig.stage.startSwitch(switchConfig);
  t.equal(await stitched(), CONNECTIONS + 1, 'the new process knows the flows of the old one');
  go.say();

  const [[results = []], transferred] = await Promise.all([
    chatting,
    transfers.report<TransferResult>(1, 120_000),
  ]);
  checkTransfer(t, transferred, BYTES);
  t.equal(results.length, CONNECTIONS);
  for (const result of results) {
    t.equal(result.error, undefined);
    t.ok(result.requests >= REQUESTS);
    await checkClosed(t, rig, result);
  }
  await checkClosed(t, rig, transferred);
  const waits = results.map(({ worstMs }) => worstMs);
  t.comment(
    `longest wait for an answer: ${spread(waits)} ms; longest pause of ${transferred.transfers} transfers ${transferred.pauseMs?.toFixed(1)} ms`,
  );
  const after = await Promise.all((['e', 'b'] as const).map((host) => resetsOf(rig, host)));
  t.strictSame(after, resets, 'no end saw or sent a reset');
});

t.test('a handover of a connection that the core opened outlives it too, with no table', async (t) => {
  const rig = await Rig.up(t);
  const switchConfig = { dataplane: 'kernel' };
  const workload = rig.stage.startWorkload('e');
  const gateway = await rig.stage.startSwitch(switchConfig);
  const listen = endpointOf('a', FORWARD_PORT);
  const forward = { listen, peer: endpointOf('e', RAW_PORT), stitch: { after: { bytes: CUT_WHILE_HELD } } };
  await Promise.all([rig.stage.startCore([], { calls: 'any' }), rig.stage.startShell([forward]), workload]);
  const go = rig.go();
  await holdDrains(rig, FORWARD_PORT);
  const connections = [{ kind: 'held', port: FORWARD_PORT, seed: 1 }];
  const load = { host: addressOf('a', 4), connections, go: go.path, limitMs: 60_000 };
  const held = rig.startClient('load', load, { host: 'b' });
  const cutting = (when: string): Promise<void> =>
    rig.stage.until(
      async () => (await rig.stage.admin.flows({ state: 'cutting' })).length === 1,
      30_000,
      () => `it is not being cut ${when}`,
    );
  await cutting('at first');
  const [before] = await rig.stage.admin.flows();

  gateway.kill('SIGKILL');
  await gateway.ended;
  await rig.stage.startSwitch(switchConfig);
  await cutting('by the next process');
  const [after] = await rig.stage.admin.flows();
  t.match(after, { id: before?.id, outer: before?.outer, inner: before?.inner });
  await Promise.all([rig.stage.agentReady('a1'), rig.stage.agentReady('b1')]);
  t.match(await rig.stage.admin.agents(), [{ flows: 1 }, { flows: 1 }], 'both agents have it');
  await letDrainsGo(rig);
  go.say();

  const [, results = []] = (await held.finished()) as {
    outcome: string;
    local: string;
    remote: string;
  }[][];
  t.match(results, [{ outcome: 'ok' }]);
  const [result] = results;
  const flow = await rig.closed(result as Ends);
  t.match(flow, { id: before?.id, reason: 'fin', openedBy: 'core' });
  t.ok(flow.stitchedAt, 'it was stitched', { history: flow.history });
});

async function resetsOf(rig: Rig, host: 'e' | 'b'): Promise<string> {
  const text = await rig.tool(host, ['nstat', '-asz', 'TcpEstabResets', 'TcpOutRsts']);
  return text.replace(/^#.*\n/, '');
}

/** The control service comes after the flows have been taken over. */
function unableToListen(rig: Rig): object {
  return {
    name: 's1',
    interfaces: ['to-e', 'to-a', 'to-b'],
    auth: { mode: 'none' },
    dataplane: 'kernel',
    control: { listen: '10.201.99.99:57626' },
    admin: `unix:${rig.file('failing.sock')}`,
  };
}
