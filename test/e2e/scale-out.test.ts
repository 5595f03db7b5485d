/**
 * Two switches of a group carry packets together: each packet of each host takes the one or the other, at random. All that a
 * connection can do comes through whole, the leader's counters are those of the applications, and when one of the switches
 * is killed in the middle nothing is lost. Kernel path only. About 40 s.
 */
import t, { type Test } from 'tap';
import { startRedis } from '../../src/lab/redis.js';
import { arrivalsOf, ShellCounter } from '../../src/lab/shell-counter.js';
import { addressOf, HTTP_PORT, RAW_PORT } from '../../src/lab/stage.js';
import type { AdminClient } from '../../src/switch/admin-client.js';
import { checkClosed, checkTransfer } from '../support/lab/checks.js';
import type { EndingResult, KeepAliveResult, TransferResult } from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';
import { prepareWays, take } from '../support/lab/spray.js';

const MB = 1_000_000;
/** On the bridge between the switches and the core, where both reach it. */
const REDIS = '10.201.3.9';
const CONFIG = {
  dataplane: 'kernel',
  table: `redis://${REDIS}:6379/0`,
  standby: true,
  scaleOut: true,
  virtualAddresses: ['to-e', 'to-a', 'to-b'].flatMap((device, i) =>
    [`10.201.${i + 1}.1/24`, `fd00:201:${i + 1}::1/64`].map((address) => ({ interface: device, address })),
  ),
};

const SCANNED = 10_000;
/** bpf/carry.h, and src/table/redis/standby.ts. */
const MISS_GAP_MS = 5;
const LOOK_GAP_MS = 10;

t.test('two switches carry packets of the same flows', async (t) => {
  const rig = await Rig.up(t, { standby: true });
  await rig.tool('w', ['ip', 'addr', 'add', `${REDIS}/24`, 'dev', 'br-b']);
  await startRedis(rig.stage, { host: 'w', address: REDIS });
  await prepareWays(rig);
  const { switch: leader, workload } = await rig.startPath({ switchConfig: CONFIG });
  const first = rig.stage.admin;
  const { admin: second, program: follower } = await rig.stage.startStandby(CONFIG);
  await role(rig, second, 'carrying');
  await take(rig, 'spray');
  const arrivals = new ShellCounter(rig.namespace('a'));
  await arrivals.start();

  async function transfer(
    t: Test,
    mode: 'down' | 'up' | 'both',
    family: 4 | 6,
    bytes: number,
  ): Promise<void> {
    const args = { host: addressOf('a', family), port: HTTP_PORT, mode, bytes, seed: bytes };
    const running = rig.client<TransferResult>('transfer', args);
    await someFlow(rig, first, 'stitched');
    const before = await arrivals.read();
    const [result] = await running;
    checkTransfer(t, result, bytes);
    const flow = await checkClosed(t, rig, result as TransferResult);
    const after = arrivalsOf(await arrivals.read(), flow.outer, flow.inner);
    t.strictSame(
      after,
      arrivalsOf(before, flow.outer, flow.inner),
      'no packet reached A once it was stitched',
    );
  }

  for (const [mode, family] of [
    ['down', 4],
    ['up', 4],
    ['both', 6],
  ] as const) {
    await t.test(`IPv${family}: a transfer, ${mode}`, async (t) => {
      await transfer(t, mode, family, 20 * MB);
    });
  }

  await t.test('keep-alive connections', async (t) => {
    const counts = await carried(first, second);
    const args = { host: addressOf('a', 4), port: HTTP_PORT, connections: 20, requests: 200 };
    const [results = []] = await rig.client<KeepAliveResult[]>('keepalive', args);
    t.equal(results.length, args.connections);
    for (const result of results) {
      t.strictSame([result.requests, result.error], [args.requests, undefined]);
      await checkClosed(t, rig, result);
    }
    const [one = 0, other = 0] = (await carried(first, second)).map((count, i) => count - (counts[i] ?? 0));
    t.comment(`translated: ${one} and ${other} packets`);
    t.ok(Math.min(one, other) > (one + other) / 10, 'both carried a fair share');
  });

  const ENDINGS = {
    'half-close': 'fin',
    'server-first': 'fin',
    'client-reset': 'reset-by-peer',
    'server-reset': 'reset-by-core',
  };
  for (const [ending, reason] of Object.entries(ENDINGS)) {
    await t.test(`${ending}, some times`, async (t) => {
      const ends = [0, 1, 2, 3, 4].map(async () => {
        const go = rig.go();
        const args = {
          host: addressOf('a', 4),
          port: RAW_PORT,
          ending,
          bytes: 300_000,
          seconds: 1,
          go: go.path,
        };
        const client = rig.startClient('ending', args);
        await rig.stitched(await client.report<EndingResult>(0));
        go.say();
        await client.finished();
        return client.report<EndingResult>(1);
      });
      for (const end of await Promise.all(ends)) {
        t.equal(end.error, ending === 'server-reset' ? 'ECONNRESET' : undefined);
        for (const stream of [end.up, end.down]) t.equal(stream?.received, stream?.sent);
        await checkClosed(t, rig, end, reason);
      }
    });
  }

  await t.test('each connection by one of both, as equal-cost routes do it', async (t) => {
    await take(rig, 'per-flow');
    const args = { host: addressOf('a', 4), port: HTTP_PORT, connections: 16, requests: 100 };
    const counts = await carried(first, second);
    const [results = []] = await rig.client<KeepAliveResult[]>('keepalive', args);
    for (const result of results) {
      t.strictSame([result.requests, result.error], [args.requests, undefined]);
      await checkClosed(t, rig, result);
    }
    const shares = (await carried(first, second)).map((count, i) => count - (counts[i] ?? 0));
    t.comment(`translated: ${shares.join(' and ')} packets`);
    t.ok(Math.min(...shares) > 0, 'both carried');
    await take(rig, 'spray');
  });

  await t.test(`${SCANNED} packets of unknown connections come to the follower`, async (t) => {
    await take(rig, 's2');
    const before = await second.stats();
    const [reads, began] = [await redisReads(rig), Date.now()];
    await rig.client('scan.py', {
      source: addressOf('e', 4),
      destination: addressOf('a', 4),
      count: SCANNED,
    });
    const counters = (await second.stats()).counters;
    const more = (name: string): number => (counters[name] ?? 0) - (before.counters[name] ?? 0);
    const [made, ms] = [(await redisReads(rig)) - reads, Date.now() - began];
    t.comment(
      `${more('dataplane.steered')} steered, ${more('dataplane.missed')} told of, ${made} reads of Redis in ${ms} ms`,
    );
    t.ok(more('dataplane.steered') >= SCANNED, 'all went on to the leader');
    t.ok(
      more('dataplane.missed') > 0 && more('dataplane.missed') <= ms / MISS_GAP_MS + 1,
      'few were told of',
    );
    t.ok(made <= ms / LOOK_GAP_MS + 1, 'Redis was read a bounded number of times');
    await take(rig, 'spray');
  });

  /** Rounds of many connections, until `change` is done and all is in the other switch's hands. */
  async function through(t: Test, admin: AdminClient, change: () => Promise<void>): Promise<void> {
    const go = rig.go();
    const connections = 10;
    const args = { host: addressOf('a', 4), port: RAW_PORT, connections, rounds: 1, seed: 7 };
    const rallying = rig.client<{ error?: string; worstMs: number }[]>('pingpong', {
      ...{ ...args, min: 1_000, max: 60_000, gapMs: 10, until: go.path },
    });
    await rig.stage.until(
      async () => (await admin.flows({ state: 'stitched' })).length === connections,
      30_000,
      () => 'not all connections were stitched',
    );
    await written(rig, admin);
    await change();
    go.say();
    const [results = []] = await rallying;
    t.equal(results.length, connections);
    t.strictSame(
      results.flatMap(({ error }) => error ?? []),
      [],
      'no connection was lost, and no byte was wrong',
    );
  }

  await t.test('the follower is killed', async (t) => {
    await through(t, first, async () => {
      follower.kill('SIGKILL');
      await take(rig, 's');
      await follower.ended;
    });
    await ended(rig, first);
    await rig.stage.startStandby(CONFIG);
    await role(rig, second, 'carrying');
    await take(rig, 'spray');
  });

  await t.test('the leader is killed', async (t) => {
    await through(t, first, async () => {
      leader.kill('SIGKILL');
      await take(rig, 's2');
      await role(rig, second, 'active');
      t.match((await second.stats()).counters, { 'start.lost': 0 });
    });
    await ended(rig, second);
  });
  t.ok(workload, 'the workload is there to the end');
});

async function role(rig: Rig, admin: AdminClient, wanted: 'active' | 'carrying'): Promise<void> {
  await rig.stage.until(
    async () => (await admin.stats().catch(() => undefined))?.role === wanted,
    30_000,
    () => `a switch is not ${wanted}`,
  );
}

/** Packets that each switch has translated. */
async function carried(...admins: readonly AdminClient[]): Promise<number[]> {
  const stats = await Promise.all(admins.map((admin) => admin.stats()));
  return stats.map(({ counters }) => counters['dataplane.translated'] ?? 0);
}

async function someFlow(rig: Rig, admin: AdminClient, state: 'stitched'): Promise<void> {
  await rig.stage.until(
    async () => (await admin.flows({ state })).length > 0,
    30_000,
    () => `no flow is ${state}`,
  );
}

/** How often the stream of changes was read. */
async function redisReads(rig: Rig): Promise<number> {
  const text = await rig.tool('s', ['redis-cli', '-h', REDIS, 'info', 'commandstats']);
  return Number(/cmdstat_xread:calls=(\d+)/.exec(text)?.[1] ?? 0);
}

/** All is in Redis. */
async function written(rig: Rig, admin: AdminClient): Promise<void> {
  await rig.stage.until(
    async () => (await admin.stats()).counters['table.queued'] === 0,
    15_000,
    () => 'not all is in Redis',
  );
}

async function ended(rig: Rig, admin: AdminClient): Promise<void> {
  await rig.stage.until(
    async () => (await admin.flows()).every(({ state }) => state === 'closed'),
    30_000,
    () => 'not all flows have ended',
  );
}
