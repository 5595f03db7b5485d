/**
 * compose/ as people bring it up, with whatever container engine the environment names: a download through a stitched
 * flow on the kernel path, one that goes on while the gateway's container is killed and started again, and one that a
 * standby takes over from a gateway that is gone with its host. The engine must have the base images or be able to
 * fetch them. About 50 s, most of it for containers to start and stop.
 */
import t, { type Test } from 'tap';
import { systemClock } from '../../src/platform/clock.js';
import type { AgentView, FlowDetail, FlowView, StatsView } from '../../src/switch/admin-protocol.js';
import { ComposeProject, type Running, whyNoEngine } from '../support/compose/project.js';

const PROJECT = 'suture-test';
const BYTES = 50_000_000;
/** More than can be read slowly for as long as the gateway is away. */
const LONG = 300_000_000;
/** More than a receive buffer may hold (net.ipv4.tcp_rmem): it can only come if the kernel goes on translating. */
const BEYOND_BUFFERS = 8_000_000;
const GO = '/tmp/go';
/** CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_BPF: their bits in linux/capability.h. */
const GATEWAY_CAPABILITIES = (1n << 12n) | (1n << 13n) | (1n << 38n) | (1n << 39n);

interface Downloaded {
  readonly ok: boolean;
  readonly bytes: number;
  readonly sent: string;
  readonly received: string;
}

const project = new ComposeProject(PROJECT, ['compose.yaml', 'compose.standby.yaml']);
/** All but the standby. */
const ALONE = ['client'];
const skip = (await whyNoEngine()) ?? false;

t.test('compose/', { skip }, async (t) => {
  t.teardown(() => project.compose('down', '--volumes', '--timeout', '1'));
  await project.compose('build');
  const before = systemClock.monotonic();
  await bringUp(...ALONE);
  t.comment(`up and healthy in ${Math.round(systemClock.monotonic() - before)} ms`);

  await t.test('nobody has more rights than needed', checkRights);
  await t.test('a download is stitched on the kernel path', checkDownload);
  await t.test('the gateway is killed and started again in mid-download', checkKill);
  await t.test('a standby takes over in mid-download', checkStandby);
});

/** A failed start says in its containers' logs why. */
async function bringUp(...services: string[]): Promise<void> {
  try {
    await project.compose('up', '--detach', '--wait', ...services);
  } catch (error) {
    const logs = await project.compose('logs', '--tail', '20').catch(() => '');
    throw new Error(`docker compose up failed: ${error}\n${logs}`);
  }
}

async function checkRights(t: Test): Promise<void> {
  const held = async (service: string): Promise<{ user: string | undefined; capabilities: bigint }> => {
    const status = await project.exec(service, 'cat', '/proc/1/status');
    const capabilities = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(status)?.[1]}`);
    return { user: /^Uid:\s*(\d+)/m.exec(status)?.[1], capabilities };
  };
  t.equal((await held('gateway')).capabilities, GATEWAY_CAPABILITIES, 'NET_RAW and those that are added');
  for (const service of ['gateway-host', 'shell', 'core', 'workload', 'redis', 'client']) {
    const { user, capabilities } = await held(service);
    t.equal(capabilities, 0n, `${service} has no capability`);
    t.not(user, '0', `${service} is not root`);
  }
}

async function checkDownload(t: Test): Promise<void> {
  const id = await downloadStitched(t);
  const stats = await project.json<StatsView>('gateway', 'suture', 'stats');
  t.equal(stats.dataplane, 'kernel');
  t.equal(stats.interfaces.length, 3, 'found by their prefixes');
  const fromTable = ['suture', 'flows', '--table', 'redis://redis:6379/0'];
  const saved = await project.json<FlowView[]>('gateway', ...fromTable);
  t.ok(
    saved.some((flow) => flow.id === id),
    'Redis has the flow',
  );
}

async function checkKill(t: Test): Promise<void> {
  const { download, flow } = await startSlowly(LONG);
  await project.compose('kill', 'gateway');
  t.equal(await project.compose('ps', '--quiet', 'gateway'), '', 'the gateway’s container is gone');
  await beyond(download, reached(download) + BEYOND_BUFFERS);
  t.pass('the download goes on without it');
  await bringUp('gateway');
  const adopted = await project.json<FlowDetail>('gateway', 'suture', 'flows', 'show', flow.id);
  t.equal(adopted.state, 'stitched', 'the new process has the flow');
  t.strictSame(adopted.outer, flow.outer);
  await beyond(download, reached(download) + BEYOND_BUFFERS);
  await finish(t, download, LONG);

  await agentsAreBack();
  await downloadStitched(t);
}

async function checkStandby(t: Test): Promise<void> {
  await bringUp('standby');
  const { download, flow } = await startSlowly(LONG);
  await project.compose('kill', 'gateway', 'gateway-host');
  await until('the standby as the active one', async () => {
    const { role } = await project.json<StatsView>('standby', 'suture', 'stats');
    return role === 'active' ? true : undefined;
  });
  await beyond(download, reached(download) + BEYOND_BUFFERS);
  t.pass('the download goes on by the standby');
  const taken = await project.json<FlowDetail>('standby', 'suture', 'flows', 'show', flow.id);
  t.equal(taken.state, 'stitched');
  await finish(t, download, LONG);
}

/** A download of which `suture flows` shows on its way that it is stitched; its flow's id. */
async function downloadStitched(t: Test): Promise<string> {
  const { download, flow } = await startSlowly(BYTES);
  await finish(t, download, BYTES);
  const ended = await project.json<FlowDetail>('gateway', 'suture', 'flows', 'show', flow.id);
  t.ok(ended.down.bytes >= BYTES, 'all of it in one flow');
  t.same(ended.toShellStitched, { packets: 0, bytes: 0 }, 'and none of it by the shell since then');
  return flow.id;
}

async function startSlowly(bytes: number): Promise<{ download: Running; flow: FlowView }> {
  await project.exec('client', 'rm', '-f', GO);
  const download = project.start('client', 'download', `${bytes}`, '--slow-until', GO);
  await beyond(download, 1);
  return { download, flow: await stitchedFlow() };
}

async function finish(t: Test, download: Running, expected: number): Promise<void> {
  await project.exec('client', 'touch', GO);
  t.equal(await download.ended, 0);
  const { ok, bytes, sent, received } = JSON.parse(download.lines.at(-1) ?? '') as Downloaded;
  t.equal(bytes, expected);
  t.equal(received, sent, 'the hash is right');
  t.ok(ok);
}

/** The bytes that a download's last progress line tells. */
function reached({ lines }: Running): number {
  return Number(/^at (\d+)$/.exec(lines.at(-1) ?? '')?.[1] ?? 0);
}

async function beyond(download: Running, bytes: number): Promise<void> {
  await download.line((line) => Number(/^at (\d+)$/.exec(line)?.[1] ?? 0) >= bytes);
}

async function stitchedFlow(): Promise<FlowView> {
  return until('a stitched flow', async () => {
    const flows = await project.json<FlowView[]>('gateway', 'suture', 'flows', '--state', 'stitched');
    return flows[0];
  });
}

async function agentsAreBack(): Promise<void> {
  await until('both agents', async () => {
    const agents = await project.json<AgentView[]>('gateway', 'suture', 'agents');
    return agents.filter((one) => one.connected && one.reserved.length > 0).length === 2 ? true : undefined;
  });
}

/** Asks again and again; a container's command takes long enough by itself. */
async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const deadline = systemClock.monotonic() + 60_000;
  while (systemClock.monotonic() < deadline) {
    const found = await ask();
    if (found !== undefined) return found;
    await systemClock.sleep(200);
  }
  throw new Error(`${what} should have been there within a minute`);
}
