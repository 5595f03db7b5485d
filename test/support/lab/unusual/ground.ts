/** A lab with a server that does as it is told, captures at both ends, and hands that put packets on the wire. */
import type { Test } from 'tap';
import { addressOf, type Family, route } from '../../../../src/lab/stage.js';
import type { FlowDetail } from '../../../../src/switch/admin-protocol.js';
import { tupleOf } from '../../../../src/wire/endpoint.js';
import { ETHERNET_HEADER, type RawPacket, rawFrame } from '../../../kernel/support/frames.js';
import { PacketCapture } from '../capture.js';
import type { Ends, StreamResult } from '../results.js';
import { type Client, Rig, TEST_DATAPLANE } from '../rig.js';
import { type Side, sideOf } from '../seen.js';
import { endpoint, nextOf } from './packets.js';

const PORT = 8090;
export const FAMILIES = [4, 6] as const;

export interface Step {
  readonly do: string;
  readonly bytes?: number;
  readonly seconds?: number;
  readonly seed?: number;
}

export class Connection {
  #reports = 1;
  constructor(
    readonly ends: Ends,
    readonly flow: FlowDetail,
    readonly client: Client,
    private readonly goes: readonly { say(): void }[],
  ) {}

  say(step: number): void {
    this.goes[step]?.say();
  }

  report<T = StreamResult>(): Promise<T> {
    return this.client.report<T>(this.#reports++);
  }

  /** The next step, from its go to its report. */
  async step<T = StreamResult>(): Promise<T> {
    this.say(this.#reports - 1);
    return this.report<T>();
  }
}

export class Ground {
  readonly #captures: Record<'e' | 'b', PacketCapture>;

  private constructor(
    readonly rig: Rig,
    captures: Record<'e' | 'b', PacketCapture>,
  ) {
    this.#captures = captures;
  }

  static async make(t: Test): Promise<Ground> {
    const rig = await Rig.up(t);
    const routes = FAMILIES.map((family) => route(PORT, PORT, 'now', family));
    const addresses = FAMILIES.map((family) => addressOf('b', family));
    const server = rig.startClient('sockets.py', { role: 'server', port: PORT, addresses }, { host: 'b' });
    await rig.stage.startSwitch({ dataplane: TEST_DATAPLANE });
    await Promise.all([
      rig.stage.startCore(routes.map(({ core }) => core)),
      rig.stage.startShell(routes),
      server.report(0),
    ]);
    const filter = `tcp port ${PORT} or ip6`;
    const captures = {
      e: await PacketCapture.start(rig, 'e', filter),
      b: await PacketCapture.start(rig, 'b', filter),
    };
    return new Ground(rig, captures);
  }

  /** A connection of the peer's, stitched. */
  async open(
    family: Family,
    line: string,
    steps: readonly Step[],
    options: object = {},
  ): Promise<Connection> {
    const { rig } = this;
    const goes = steps.map(() => rig.go());
    const withGoes = steps.map((step, i) => ({ ...step, go: goes[i]?.path }));
    const args = { role: 'client', host: addressOf('a', family), port: PORT, line, steps: withGoes };
    const client = rig.startClient('sockets.py', { ...args, ...options });
    const ends = await client.report<Ends>(0);
    return new Connection(ends, await rig.stitched(ends), client, goes);
  }

  sides({ ends, flow: { inner } }: Connection): { e: Side; b: Side } {
    return {
      e: sideOf(this.#captures.e.read(ends.local, ends.remote), ends.local),
      b: sideOf(this.#captures.b.read(inner.local, inner.remote), inner.remote),
    };
  }

  /** What both ends have seen, once it holds what the test waits for. */
  async until(connection: Connection, what: string, seen: (e: Side, b: Side) => boolean): Promise<void> {
    await this.rig.stage.until(
      async () => {
        const { e, b } = this.sides(connection);
        return seen(e, b);
      },
      30_000,
      () => `never seen: ${what}`,
    );
  }

  /** Both sides, once each end has seen all that the other sent and its ack; captures run a little behind. */
  async calm(connection: Connection): Promise<{ e: Side; b: Side }> {
    const isCalm = ({ sent, got }: Side): boolean => {
      const own = nextOf(sent);
      const other = nextOf(got);
      return own.ack === other.seq && other.ack === own.seq;
    };
    await this.until(connection, 'both ends at rest', (e, b) => isCalm(e) && isCalm(b));
    return this.sides(connection);
  }

  /** Sends a packet by hand, in an end's own name. */
  async inject(host: 'e' | 'b', connection: Connection, packet: Omit<RawPacket, 'tuple'>): Promise<void> {
    const { ends, flow } = connection;
    const [from, to] = host === 'e' ? [ends.local, ends.remote] : [flow.inner.remote, flow.inner.local];
    const tuple = tupleOf(endpoint(from), endpoint(to));
    await this.injectIp(host, [rawFrame({ ...packet, tuple }).subarray(ETHERNET_HEADER)]);
  }

  async injectIp(host: 'e' | 'b', packets: readonly Buffer[]): Promise<void> {
    await this.rig.client('inject', { packets: packets.map((one) => one.toString('hex')) }, { host });
  }

  /** Forgets what was captured so far. */
  clear(): void {
    for (const capture of Object.values(this.#captures)) capture.clear();
  }

  /** Of the switch's interface to the peer. */
  async switchMac(): Promise<Buffer> {
    const text = await this.rig.tool('s', ['ip', '-j', 'link', 'show', 'to-e']);
    const [link] = JSON.parse(text) as { address: string }[];
    return Buffer.from((link?.address ?? '').replaceAll(':', ''), 'hex');
  }

  async counter(name: string): Promise<number> {
    return (await this.rig.stage.admin.stats()).counters[`dataplane.${name}`] ?? Number.NaN;
  }

  /** Nobody hears anything, while `body` runs. */
  async deaf(body: () => Promise<void>): Promise<void> {
    const rules = `table inet deaf { chain input { type filter hook input priority 0; tcp dport ${PORT} drop; tcp sport ${PORT} drop; }; }`;
    const hosts = ['e', 'b'] as const;
    await Promise.all(hosts.map((host) => this.rig.tool(host, ['nft', '-f', '-'], rules)));
    await body();
    await Promise.all(hosts.map((host) => this.rig.tool(host, ['nft', 'delete', 'table', 'inet', 'deaf'])));
  }
}
