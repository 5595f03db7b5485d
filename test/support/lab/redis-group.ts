/**
 * Redis as it is run where it must not be lost, all in one host of the lab: a master, its replica and a sentinel; a
 * cluster of three masters with a replica each.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import type { Program } from '../../../src/lab/program.js';
import type { Rig } from './rig.js';

const HOST = '127.0.0.1';
const START_MS = 30_000;
const UNTIL_MS = 60_000;
const MASTER = 'the-master';
/** Longer than a busy machine keeps a server waiting, mostly; a failover that nobody wanted does no harm. */
const DOWN_AFTER_MS = 1_000;

export interface Refusals {
  readonly ask: number;
  readonly moved: number;
  readonly tryAgain: number;
}

export class LabRedis {
  private constructor(
    private readonly rig: Rig,
    readonly port: number,
    readonly program: Program,
  ) {}

  static async start(
    rig: Rig,
    port: number,
    config: Readonly<Record<string, string>> = {},
    sentinel?: string,
  ): Promise<LabRedis> {
    const folder = `${rig.folder}/redis-${port}`;
    mkdirSync(folder);
    const plain = { port: String(port), bind: HOST, save: '', appendonly: 'no', dir: folder };
    const settings = Object.entries({ ...plain, ...config }).flatMap(([name, value]) => [`--${name}`, value]);
    const args = sentinel === undefined ? settings : [sentinel, '--sentinel'];
    const program = rig.stage.start(`redis ${port}`, 's', ['redis-server', ...args]);
    await program.line(/Ready to accept connections|Sentinel ID is/, START_MS);
    return new LabRedis(rig, port, program);
  }

  async cli(...args: string[]): Promise<string> {
    return (await this.rig.tool('s', ['redis-cli', '-p', String(this.port), ...args])).trim();
  }

  /** How often it sent a command elsewhere (ASK, MOVED) or away (TRYAGAIN). */
  async refusals(): Promise<Refusals> {
    const text = await this.cli('info', 'errorstats');
    const count = (word: string): number =>
      Number(new RegExp(`^errorstat_${word}:count=(\\d+)`, 'm').exec(text)?.[1] ?? 0);
    return { ask: count('ASK'), moved: count('MOVED'), tryAgain: count('TRYAGAIN') };
  }

  async kill(): Promise<void> {
    this.program.kill('SIGKILL');
    await this.program.ended;
  }
}

async function until(rig: Rig, complaint: string, ask: () => Promise<boolean>): Promise<void> {
  await rig.stage.until(ask, UNTIL_MS, () => complaint);
}

export interface SentinelGroup {
  readonly url: string;
  readonly master: LabRedis;
  readonly replica: LabRedis;
}

export async function startSentinelGroup(rig: Rig): Promise<SentinelGroup> {
  const [masterPort, replicaPort, sentinelPort] = [6400, 6401, 26_400];
  const config = { 'repl-diskless-sync-delay': '0' };
  const master = await LabRedis.start(rig, masterPort, config);
  const replica = await LabRedis.start(rig, replicaPort, { ...config, replicaof: `${HOST} ${masterPort}` });
  await until(rig, 'the replica does not follow', async () =>
    (await replica.cli('info', 'replication')).includes('master_link_status:up'),
  );
  const file = rig.file('sentinel.conf');
  const lines = [
    `port ${sentinelPort}`,
    `bind ${HOST}`,
    `sentinel monitor ${MASTER} ${HOST} ${masterPort} 1`,
    `sentinel down-after-milliseconds ${MASTER} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${MASTER} 3000`,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const sentinel = await LabRedis.start(rig, sentinelPort, {}, file);
  await until(rig, 'the sentinel does not know the replica', async () =>
    (await sentinel.cli('sentinel', 'replicas', MASTER)).includes(String(replicaPort)),
  );
  return { url: `redis+sentinel://${HOST}:${sentinelPort}/${MASTER}/0`, master, replica };
}

export interface ClusterNode {
  readonly server: LabRedis;
  readonly id: string;
}

export class LabCluster {
  private constructor(
    private readonly rig: Rig,
    readonly nodes: readonly ClusterNode[],
  ) {}

  static async start(rig: Rig): Promise<LabCluster> {
    const ports = [7000, 7001, 7002, 7003, 7004, 7005];
    const servers = await Promise.all(
      ports.map((port) =>
        LabRedis.start(rig, port, {
          'cluster-enabled': 'yes',
          'cluster-node-timeout': String(DOWN_AFTER_MS),
          'repl-diskless-sync-delay': '0',
        }),
      ),
    );
    const places = ports.map((port) => `${HOST}:${port}`);
    const create = [
      'redis-cli',
      '--cluster',
      'create',
      ...places,
      '--cluster-replicas',
      '1',
      '--cluster-yes',
    ];
    await rig.tool('s', create);
    const nodes: ClusterNode[] = [];
    for (const server of servers) nodes.push({ server, id: await server.cli('cluster', 'myid') });
    const group = new LabCluster(rig, nodes);
    await until(rig, 'the cluster is not ready', () => group.isReady());
    return group;
  }

  /** Any of its nodes may be the one that is killed. */
  get url(): string {
    return `redis+cluster://${this.nodes.map(({ server }) => `${HOST}:${server.port}`).join(',')}`;
  }

  /** The master that serves a key, and one that does not. */
  async holders(key: string): Promise<{ slot: string; owner: ClusterNode; other: ClusterNode }> {
    const running = this.nodes.filter(({ server }) => server.program.running);
    const [asked] = running;
    if (!asked) throw new Error('no node of the cluster runs');
    const slot = await asked.server.cli('cluster', 'keyslot', key);
    // Lines of CLUSTER NODES: id, place, flags, master's id, …, link state, slots.
    const lines = (await asked.server.cli('cluster', 'nodes')).split('\n').map((line) => line.split(' '));
    const masters = lines.filter(([, , flags = '']) => /master/.test(flags) && !/fail/.test(flags));
    const nodeOf = ([id]: string[]): ClusterNode | undefined => running.find((node) => node.id === id);
    const owner = masters.find((line) => line.slice(8).some((range) => contains(range, Number(slot))));
    const other = masters.find((line) => line !== owner && line.length > 8);
    const [found, elsewhere] = [owner && nodeOf(owner), other && nodeOf(other)];
    if (!found || !elsewhere) throw new Error(`nobody has slot ${slot}: ${JSON.stringify(lines)}`);
    return { slot, owner: found, other: elsewhere };
  }

  /**
   * As `redis-cli --cluster reshard` does it: keys in small parts, while others use them. Halfway, with keys on both nodes,
   * it waits until the one that had them could not serve somebody. Gives the nodes, and what the first one refused before.
   */
  async moveSlot(key: string): Promise<{ from: ClusterNode; to: ClusterNode; before: Refusals }> {
    const { slot, owner, other } = await this.holders(key);
    const before = await owner.server.refusals();
    await other.server.cli('cluster', 'setslot', slot, 'importing', owner.id);
    await owner.server.cli('cluster', 'setslot', slot, 'migrating', other.id);
    for (;;) {
      const keys = (await owner.server.cli('cluster', 'getkeysinslot', slot, '50'))
        .split('\n')
        .filter(Boolean);
      if (keys.length === 0) break;
      await owner.server.cli('migrate', HOST, String(other.server.port), '', '0', '5000', 'KEYS', ...keys);
      await until(this.rig, 'nobody asks for keys of the slot that moves', async () => {
        const { ask, tryAgain } = await owner.server.refusals();
        return ask + tryAgain > before.ask + before.tryAgain;
      });
    }
    for (const { server } of [other, owner]) await server.cli('cluster', 'setslot', slot, 'node', other.id);
    return { from: owner, to: other, before };
  }

  private async isReady(): Promise<boolean> {
    const states = await Promise.all(this.nodes.map(({ server }) => server.cli('cluster', 'info')));
    const links = await Promise.all(this.nodes.map(({ server }) => server.cli('info', 'replication')));
    const follow = links.filter((text) => text.includes('master_link_status:up')).length;
    return states.every((text) => text.includes('cluster_state:ok')) && follow === this.nodes.length / 2;
  }
}

/** `5461-10922`, or one slot. */
function contains(range: string, slot: number): boolean {
  const [from = Number.NaN, to = from] = range.split('-').map(Number);
  return from <= slot && slot <= to;
}
