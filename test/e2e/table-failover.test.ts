/**
 * The table's Redis fails over while connections come, are stitched and go: a real Sentinel whose master is killed; a
 * real Cluster whose master of the group's slot is killed, and then the slot moves, which the switch has to run into. No
 * connection is lost and no byte is wrong; nothing new is stitched while nobody can write, and in the end the new master
 * has what the switch has.
 * On the kernel path; some 40 s.
 *
 * SUTURE_TEST_MOVES: how often the slot moves, once if nothing is said.
 */
import t, { type Test } from 'tap';
import type { Program } from '../../src/lab/program.js';
import { addressOf, HTTP_PORT, RAW_PORT } from '../../src/lab/stage.js';
import type { FlowView, StatsView } from '../../src/switch/admin-protocol.js';
import { checkClosed } from '../support/lab/checks.js';
import { LabCluster, startSentinelGroup } from '../support/lab/redis-group.js';
import type { ConnectionResult } from '../support/lab/results.js';
import { type Client, Rig, type Roles } from '../support/lab/rig.js';

const MOVES = Number(process.env.SUTURE_TEST_MOVES ?? 1);
const WORKERS = 4;
const GAP_MS = 40;
const RAW_KINDS = ['echo', 'both', 'up', 'echo', 'both', 'up'];
const LONG = [...RAW_KINDS.map((kind) => ({ kind, port: RAW_PORT })), { kind: 'requests', port: HTTP_PORT }];
const TABLE_MS = 60_000;
/** For the end of all connections once they may end. */
const END_MS = 60_000;
/** Between the clock of the kernel path and the log's. */
const CLOCKS_MS = 20;
const LEASE_KEY = 'suture:{default}:lease';

interface Lived extends ConnectionResult {
  readonly outcome: string;
}

/** What the table was, by the switch's log. */
interface TableState {
  readonly at: number;
  readonly state: string;
  readonly reason?: string;
}

class Field {
  #long: Client | undefined;
  #churn: Client | undefined;
  readonly #go;

  constructor(
    readonly rig: Rig,
    readonly url: string,
  ) {
    this.#go = rig.go();
  }

  /** Long connections with checked bytes, all stitched, and short ones that come and go. */
  async start(): Promise<void> {
    const { rig } = this;
    const host = addressOf('a', 4);
    const connections = LONG.map((one, i) => ({ ...one, seed: 100 + i }));
    this.#long = rig.startClient('load', { host, connections, go: this.#go.path, limitMs: END_MS });
    const open = await this.#long.report<ConnectionResult[]>(0);
    for (const ends of open) await rig.stitched(ends);
    const short = { host, http: HTTP_PORT, raw: RAW_PORT, workers: WORKERS, gapMs: GAP_MS };
    this.#churn = rig.startClient('churn', { ...short, until: this.#go.path });
  }

  async untilTable(what: string, is: (stats: StatsView) => boolean): Promise<StatsView> {
    let stats = await this.rig.stage.admin.stats();
    await this.rig.stage.until(
      async () => {
        stats = await this.rig.stage.admin.stats();
        return is(stats);
      },
      TABLE_MS,
      () => `the table is not ${what}: ${JSON.stringify([stats.table, stats.counters])}`,
    );
    return stats;
  }

  untilSaved(): Promise<StatsView> {
    return this.untilTable(
      'up',
      ({ table, counters }) => table.state === 'up' && counters['table.queued'] === 0,
    );
  }

  /** A connection of now is stitched, and ends as it should. */
  async checkStitches(t: Test): Promise<void> {
    const { rig } = this;
    const go = rig.go();
    const connections = [{ kind: 'echo', port: RAW_PORT, seed: 1 }];
    const client = rig.startClient('load', {
      host: addressOf('a', 4),
      connections,
      go: go.path,
      limitMs: END_MS,
    });
    const [ends] = await client.report<ConnectionResult[]>(0);
    await rig.stitched(ends as ConnectionResult);
    go.say();
    await client.finished();
    const [result] = await client.report<Lived[]>(1);
    t.equal(result?.outcome, 'ok', 'a new connection');
    await checkClosed(t, rig, result as Lived);
  }

  /** Ends the load; all that it had went well, and Redis has what the switch has. */
  async finish(t: Test): Promise<void> {
    const [shown, saved] = await this.sameInRedis();
    t.strictSame(saved, shown, 'Redis has what the switch has');
    const open = shown.filter(([, state]) => state === 'stitched').length;
    t.ok(open >= LONG.length, `all ${LONG.length} long connections are stitched still`, { open });
    this.#go.say();
    const [[churned], [, lived]] = await Promise.all([
      this.#churn?.finished() ?? [],
      this.#long?.finished() ?? [],
    ]);
    for (const { outcome, local } of lived as Lived[])
      t.equal(outcome, 'ok', `the long connection of ${local}`);
    t.match(churned, { refused: 0, lost: 0, wrong: 0, ok: Number }, 'the short ones', { churned });
    t.comment(`short connections: ${JSON.stringify(churned)}`);
  }

  /** The flows of the switch and those in Redis, from a moment at which nothing was still to be written. */
  private async sameInRedis(): Promise<[[string, string][], [string, string][]]> {
    const brief = (flows: readonly FlowView[]): [string, string][] =>
      flows.map(({ id, state }): [string, string] => [id, state]).sort(([a], [b]) => (a < b ? -1 : 1));
    let pair: [[string, string][], [string, string][]] = [[], []];
    await this.rig.stage.until(
      async () => {
        await this.untilSaved();
        const before = brief(await this.rig.stage.admin.flows());
        const { stdout } = await this.rig.suture('s', ['flows', '--table', this.url, '--json']);
        const after = brief(await this.rig.stage.admin.flows());
        pair = [after, brief(JSON.parse(stdout) as FlowView[])];
        // The short ones go on: whatever changed while Redis was read may be in it or not.
        const settled = new Map(before);
        const both = new Set(after.filter(([id, state]) => settled.get(id) === state).map(([id]) => id));
        pair = [pair[0].filter(([id]) => both.has(id)), pair[1].filter(([id]) => both.has(id))];
        return JSON.stringify(pair[0]) === JSON.stringify(pair[1]);
      },
      TABLE_MS,
      () => `Redis and the switch differ: ${JSON.stringify(pair)}`,
    );
    return pair;
  }
}

/** Times at which the switch said how its table is. */
function tableStates(gateway: Program, since: number): TableState[] {
  return gateway.output
    .split('\n')
    .filter((line) => line.includes('flow table is'))
    .map((line) => JSON.parse(line))
    .map(({ time, state, reason }) => ({ at: Date.parse(time), state, reason }))
    .filter(({ at }) => at >= since);
}

/** No connection that came while nothing could be written was stitched before something could be. */
async function checkRefused(t: Test, rig: Rig, gateway: Program, since: number): Promise<void> {
  const states = tableStates(gateway, since);
  const isWritten = ({ state, reason }: TableState): boolean => state === 'up' || reason === 'rewriting';
  const lost = states.find((one) => !isWritten(one));
  const back = states.find((one) => isWritten(one) && one.at > (lost?.at ?? Number.POSITIVE_INFINITY));
  if (!lost || !back)
    throw new Error(`the log tells of no loss, or of no end of it: ${JSON.stringify(states)}`);
  t.comment(`nothing could be written for ${back.at - lost.at} ms`);
  const came = (await rig.stage.admin.flows()).filter(({ openedAt }) => {
    const at = Date.parse(openedAt);
    return at > lost.at && at < back.at;
  });
  t.ok(came.length > 0, 'connections came meanwhile');
  const early = came.filter(({ stitchedAt }) => stitchedAt && Date.parse(stitchedAt) < back.at - CLOCKS_MS);
  t.strictSame(early, [], 'none of them was stitched before the table was back');
}

/** `happen` takes the table away for a while; it comes back by itself. */
async function failover(t: Test, field: Field, roles: Roles, happen: () => Promise<unknown>): Promise<void> {
  const { rig } = field;
  await field.start();
  await field.untilSaved();
  const since = Date.now();
  await happen();
  await field.untilTable('lost', () => tableStates(roles.switch, since).some(({ state }) => state !== 'up'));
  await field.untilSaved();
  await checkRefused(t, rig, roles.switch, since);
  await field.checkStitches(t);
  await field.finish(t);
}

t.test('the table fails over under load', async (t) => {
  const rig = await Rig.up(t);
  const sentinel = await startSentinelGroup(rig);
  const switchConfig = { dataplane: 'kernel', table: sentinel.url };
  let roles = await rig.startPath({ switchConfig });

  await t.test('Sentinel: the master is killed', async (t) => {
    await failover(t, new Field(rig, sentinel.url), roles, () => sentinel.master.kill());
    t.match(await sentinel.replica.cli('role'), /^master/);
  });

  const cluster = await LabCluster.start(rig);
  await roles.switch.stop();
  const gateway = await rig.stage.startSwitch({ ...switchConfig, table: cluster.url });
  roles = { ...roles, switch: gateway };
  await Promise.all(['a1', 'b1'].map((name) => rig.stage.agentReady(name)));

  await t.test("Cluster: the master of the group's slot is killed", async (t) => {
    const { owner } = await cluster.holders(LEASE_KEY);
    await failover(t, new Field(rig, cluster.url), roles, () => owner.server.kill());
  });

  for (let move = 0; move < MOVES; move++) {
    await t.test('Cluster: the slot moves to another master', async (t) => {
      const field = new Field(rig, cluster.url);
      await field.start();
      await field.untilSaved();
      const { from, to, before } = await cluster.moveSlot(LEASE_KEY);
      await field.untilSaved();
      t.equal((await cluster.holders(LEASE_KEY)).owner, to, 'the slot has moved');
      const after = await from.server.refusals();
      t.ok(after.ask + after.tryAgain > before.ask + before.tryAgain, 'and the switch met it on its way');
      t.comment(
        `the node that had it refused ${JSON.stringify(before)} before, and ${JSON.stringify(after)} by then`,
      );
      await field.checkStitches(t);
      await field.finish(t);
    });
  }
});
