/**
 * Connections that begin on a link, leave it for an inner connection, and are stitched: asked for by the shell, the
 * core and the switch, in the middle of transfers, with every byte where it belongs. And what ends them.
 * About 30 s on each data path.
 */
import t, { type Test } from 'tap';
import { arrivalsOf, ShellCounter } from '../../src/lab/shell-counter.js';
import { addressOf, endpointOf, HTTP_PORT, RAW_PORT, type RouteConfig } from '../../src/lab/stage.js';
import type { AgentView, FlowDetail } from '../../src/switch/admin-protocol.js';
import { checkTransfer } from '../support/lab/checks.js';
import type {
  ConnectResult,
  EndingResult,
  Ends,
  StreamResult,
  TransferResult,
} from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';

const MB = 1_000_000;
const BYTES = 30 * MB;
const KEY = 'a key that shell and core share';
const LINK_PORT = 57_628;
/** On the shell. What the core agent listens on itself has the same numbers. */
const BY_SHELL = 9001;
const BY_OTHERS = 9002;
const STAYS = 9003;
const LATER = 9004;
const IPV6 = 9005;

function linkRoute(port: number, more: Partial<RouteConfig>): RouteConfig & { readonly core: string } {
  return { listen: endpointOf('a', port), core: endpointOf('b', port), via: 'link', ...more };
}

const ROUTES = [
  linkRoute(BY_SHELL, { move: { after: { bytes: 3 * MB } } }),
  linkRoute(BY_OTHERS, { move: 'never' }),
  linkRoute(STAYS, { move: 'never', stitch: 'never' }),
  // The link is IPv4 all the same: it has nothing to do with the connections on it.
  {
    listen: endpointOf('a', IPV6, 6),
    core: endpointOf('b', IPV6, 6),
    via: 'link' as const,
    link: endpointOf('b', LINK_PORT),
    move: { after: { bytes: 3 * MB } },
  },
  linkRoute(LATER, { move: { after: { bytes: MB } }, stitch: { after: { bytes: 15 * MB } } }),
];

const shellLink = (key: string) => ({ link: { auth: { mode: 'psk', key } } });

/** What is delivered has one place to go, so each service has a core agent of its own, one after the other. */
const coreLink = (deliver: number, move?: object) => ({
  deliver: endpointOf('b', deliver),
  link: { listen: endpointOf('b', LINK_PORT), auth: { mode: 'psk', key: KEY }, ...(move && { move }) },
});

/** Its states say that it went the whole way; its numbers, that what the link carried is not counted twice. */
async function checkStitched(t: Test, rig: Rig, result: TransferResult): Promise<FlowDetail> {
  const flow = await rig.closed(result);
  t.ok(flow.stitchedAt, 'it was stitched', { history: flow.history });
  t.equal(flow.reason, 'fin', 'reason');
  t.equal(flow.up.bytes, result.written, 'the bytes of the peer');
  t.ok(flow.down.bytes <= result.read, 'of the core those that came on the inner connection');
  t.strictSame(flow.toShellStitched, { packets: 0, bytes: 0 }, 'nothing to the shell once stitched');
  return flow;
}

async function agent(rig: Rig, name: string): Promise<AgentView | undefined> {
  return (await rig.stage.admin.agents()).find((one) => one.name === name);
}

async function reportsStreams(rig: Rig, name: string, count: number): Promise<void> {
  await rig.stage.until(
    async () => (await agent(rig, name))?.links?.[0]?.streams === count,
    15_000,
    () => `${name} does not report ${count} streams`,
  );
}

t.test('links', async (t) => {
  const rig = await Rig.up(t);
  const roles = await rig.startPath({
    routes: ROUTES,
    shellConfig: shellLink(KEY),
    coreConfig: coreLink(HTTP_PORT, { after: { bytes: 5 * MB } }),
  });
  const counter = new ShellCounter(rig.namespace('a'));
  await counter.start();

  for (const [who, port] of [
    ['shell', BY_SHELL],
    ['core', BY_OTHERS],
  ] as const) {
    for (const mode of ['down', 'up', 'both'] as const) {
      await t.test(`moved by the ${who}, ${mode}`, async (t) => {
        const args = { host: addressOf('a', 4), port, mode, bytes: BYTES, seed: port };
        const [result] = await rig.client<TransferResult>('transfer', args);
        checkTransfer(t, result, BYTES);
        const flow = await checkStitched(t, rig, result as TransferResult);
        t.match(flow.stitchCause, ['now']);
        if (mode !== 'up')
          t.ok(flow.down.bytes < (result?.read ?? 0), 'the link had carried a part of the answer');
      });
    }
  }

  await t.test('IPv6', async (t) => {
    const args = { host: addressOf('a', 6), port: IPV6, mode: 'both', bytes: BYTES, seed: 6 };
    const [result] = await rig.client<TransferResult>('transfer', args);
    checkTransfer(t, result, BYTES);
    await checkStitched(t, rig, result as TransferResult);
  });

  await t.test('moved early, relayed for a while, stitched later', async (t) => {
    const args = { host: addressOf('a', 4), port: LATER, mode: 'both', bytes: BYTES, seed: 5 };
    const [result] = await rig.client<TransferResult>('transfer', args);
    checkTransfer(t, result, BYTES);
    const flow = await checkStitched(t, rig, result as TransferResult);
    t.match(flow.stitchCause, [/^bytes>=/]);
    const arrived = arrivalsOf(await counter.read(), flow.outer, flow.inner);
    t.ok(arrived.packets > 0, 'the shell had seen both connections');
  });

  await roles.core.stop();
  const offers = ROUTES.map(({ core }) => core);
  const core = await rig.stage.startCore(offers, coreLink(RAW_PORT));

  interface Talk {
    readonly ends: Ends;
    next(): Promise<StreamResult>;
    finished(): Promise<unknown>;
  }

  async function talk(port: number, sizes: readonly number[]): Promise<Talk> {
    const gos = sizes.map(() => rig.go());
    const steps = sizes.map((bytes, i) => ({ go: gos[i]?.path, bytes, seed: i + 1 }));
    const client = rig.startClient('talker', { host: addressOf('a', 4), port, first: 'ECHO\n', steps });
    const ends = await client.report<Ends>(0);
    let step = 0;
    return {
      ends,
      next: () => {
        gos[step]?.say();
        step += 1;
        return client.report<StreamResult>(step);
      },
      finished: () => client.finished(),
    };
  }

  async function exchanged(t: Test, talked: Talk): Promise<void> {
    const { sent, received } = await talked.next();
    t.equal(received, sent, 'SHA-256');
  }

  /** Whatever became of them. */
  async function flowsOf({ local }: Ends): Promise<number> {
    return (await rig.stage.admin.flows()).filter(({ outer }) => outer.remote === local).length;
  }

  await t.test('the switch asks: by the command line, for one peer', async (t) => {
    const [one, other] = [await talk(BY_OTHERS, [MB, MB, MB]), await talk(BY_OTHERS, [MB, MB, MB])];
    await exchanged(t, one);
    await exchanged(t, other);
    t.strictSame([await flowsOf(one.ends), await flowsOf(other.ends)], [0, 0], 'the switch has no flows yet');
    await reportsStreams(rig, 'a1', 2);
    await reportsStreams(rig, 'b1', 2);
    const admin = ['--admin', `unix:${rig.stage.adminSocket}`];
    const asked = await rig.suture('s', ['agents', 'move', 'a1', '--peer', one.ends.local, ...admin]);
    t.equal(asked.code, 0, asked.stderr);
    t.match(asked.stdout, `a1 was asked to move those of ${one.ends.local}`);
    const flow = await rig.stitched(one.ends);
    await exchanged(t, one);
    await exchanged(t, other);
    t.equal(await flowsOf(other.ends), 0, 'the other one is on the link');
    await reportsStreams(rig, 'a1', 1);
    const { stdout } = await rig.suture('s', ['agents', ...admin]);
    t.match(stdout, new RegExp(`a1 .* ${endpointOf('b', LINK_PORT)} up, 1 on it`));
    await exchanged(t, one);
    await exchanged(t, other);
    await one.finished();
    await other.finished();
    const closed = await rig.closed(one.ends);
    t.equal(closed.id, flow.id);
    t.strictSame(closed.toShellStitched, { packets: 0, bytes: 0 });
  });

  await t.test('the switch can not ask a core, nor one that it does not know', async (t) => {
    for (const [name, code] of [
      ['b1', 'SUT_REQUEST_INVALID'],
      ['b2', 'SUT_REQUEST_INVALID'],
    ] as const) {
      await t.rejects(rig.stage.admin.move(name), { code });
    }
    await t.rejects(rig.stage.admin.move('a1', 'nonsense'), { code: 'SUT_REQUEST_INVALID' });
  });

  /** Opens it; once it has been moved, or not, lets it end. */
  async function end(ending: string, moves: boolean): Promise<EndingResult> {
    const go = rig.go();
    const args = { host: addressOf('a', 4), port: BY_OTHERS, ending, bytes: MB, seconds: 1, go: go.path };
    const client = rig.startClient('ending', args);
    const ends = await client.report<EndingResult>(0);
    if (moves) {
      // What its client has said may still be on its way to the shell.
      await rig.stage.admin.move('a1', ends.local);
      await rig.stitched(ends);
    }
    go.say();
    await client.finished();
    return client.report<EndingResult>(1);
  }

  for (const moves of [false, true]) {
    const where = moves ? 'stitched' : 'on the link';
    await t.test(`half-close, ${where}`, async (t) => {
      const result = await end('half-close', moves);
      t.equal(result.error, undefined);
      t.equal(result.up?.bytes, MB);
      t.equal(result.up?.received, result.up?.sent, 'up: SHA-256');
      t.equal(result.down?.received, result.down?.sent, 'down: SHA-256');
      t.ok((result.down?.bytes ?? 0) > 0, 'there was an answer');
      if (moves) t.equal((await rig.closed(result)).reason, 'fin');
      else t.equal(await flowsOf(result), 0, 'without a flow');
    });

    await t.test(`the server ends first, ${where}`, async (t) => {
      const result = await end('server-first', moves);
      t.equal(result.down?.received, result.down?.sent, 'down: SHA-256');
      if (moves) t.equal((await rig.closed(result)).reason, 'fin');
    });

    await t.test(`resets, ${where}`, async (t) => {
      const byClient = await end('client-reset', moves);
      await roles.workload.line(/^reset HOLD/, 5000);
      const byServer = await end('server-reset', moves);
      t.equal(byServer.error, 'ECONNRESET');
      if (!moves) return;
      t.equal((await rig.closed(byClient)).reason, 'reset-by-peer');
      t.equal((await rig.closed(byServer)).reason, 'reset-by-core');
    });
  }

  await t.test('the link is killed: what is on it is reset, what is stitched goes on', async (t) => {
    const stitched = await talk(BY_OTHERS, [MB, MB]);
    await exchanged(t, stitched);
    await rig.stage.admin.move('a1');
    await rig.stitched(stitched.ends);
    const args = {
      host: addressOf('a', 4),
      port: STAYS,
      send: 'ECHO\nhello',
      timeoutMs: 30_000,
      go: rig.go().path,
    };
    const client = rig.startClient('connect', args);
    await client.report<ConnectResult>(0);
    await reportsStreams(rig, 'a1', 1);
    // The connection of the link itself, from outside of both programs.
    await rig.tool('a', ['ss', '-K', 'dst', addressOf('b', 4), 'dport', '=', `:${LINK_PORT}`]);
    const { outcome } = await client.report<ConnectResult>(1);
    t.equal(outcome, 'ECONNRESET', 'the peer gets a reset');
    await exchanged(t, stitched);
    await stitched.finished();
    const again = await talk(STAYS, [MB]);
    await exchanged(t, again);
    await again.finished();
  });

  await t.test('another key is refused, and nothing gets through', async (t) => {
    await roles.shell.stop();
    const shell = await rig.stage.startShell(ROUTES, {
      ...shellLink('not the key of the core'),
      timers: { connect: '2s' },
    });
    await core.line(/link refused/, 30_000);
    await shell.line(/no link to the core/, 30_000);
    const args = { host: addressOf('a', 4), port: STAYS, send: 'ECHO\nhello', timeoutMs: 30_000 };
    const [result] = await rig.client<ConnectResult>('connect', args);
    t.equal(result?.outcome, 'ECONNRESET');
    t.equal(result?.data, '');
    t.equal((await agent(rig, 'a1'))?.links?.[0]?.connections, 0);
  });
});
