/**
 * Counts, in the shell's own host and independently of the switch, the TCP packets that arrive there: one
 * counter for each direction of each connection, made by the kernel (nftables) when the first packet comes.
 *
 * The difference between a reading taken when a flow became stitched and a later one is what the shell still
 * had to carry of it.
 */
import { formatEndpoint } from '../wire/endpoint.js';
import { inNamespace, runTool } from './command.js';
import { HOST_INTERFACE } from './layout.js';

export interface PacketCount {
  readonly packets: number;
  readonly bytes: number;
}

/** Counts by `source>destination`, both as `address:port` or `[address]:port`. */
export type ShellReading = ReadonlyMap<string, PacketCount>;

const ZERO_COUNT: PacketCount = { packets: 0, bytes: 0 };

const TABLE = 'suture_arrivals';
const MAX_CONNECTIONS = 65_535;

/** At ingress, so that it sees a packet before any rule of the host can drop it. */
const RULES = `
table netdev ${TABLE} {
  set v4 {
    type ipv4_addr . inet_service . ipv4_addr . inet_service
    flags dynamic
    size ${MAX_CONNECTIONS}
    counter
  }
  set v6 {
    type ipv6_addr . inet_service . ipv6_addr . inet_service
    flags dynamic
    size ${MAX_CONNECTIONS}
    counter
  }
  chain arrivals {
    type filter hook ingress device ${HOST_INTERFACE} priority 0
    ip protocol tcp update @v4 { ip saddr . tcp sport . ip daddr . tcp dport counter }
    ip6 nexthdr tcp update @v6 { ip6 saddr . tcp sport . ip6 daddr . tcp dport counter }
  }
}
`;

interface NftElement {
  readonly elem: {
    readonly val: { readonly concat: readonly [string, number, string, number] };
    readonly counter?: PacketCount;
  };
}

export class ShellCounter {
  readonly #namespace: string;

  constructor(namespace: string) {
    this.#namespace = namespace;
  }

  /** Starts from zero; the rules go away with the namespace. */
  async start(): Promise<void> {
    await runTool('counting arrivals', this.#nft(['-f', '-']), RULES);
  }

  async read(): Promise<ShellReading> {
    const sets = await Promise.all(['v4', 'v6'].map((set) => this.#readSet(set)));
    return new Map(sets.flat());
  }

  async #readSet(set: string): Promise<[string, PacketCount][]> {
    const text = await runTool('reading arrivals', this.#nft(['-j', 'list', 'set', 'netdev', TABLE, set]));
    const { nftables } = JSON.parse(text) as { nftables: { set?: { elem?: NftElement[] } }[] };
    return nftables.flatMap(({ set: found }) => (found?.elem ?? []).map(({ elem }) => entry(elem)));
  }

  #nft(args: readonly string[]): string[] {
    return inNamespace(this.#namespace, ['nft', ...args]);
  }
}

function entry(elem: NftElement['elem']): [string, PacketCount] {
  const [source, sourcePort, destination, destinationPort] = elem.val.concat;
  const from = formatEndpoint({ address: source, port: sourcePort });
  const to = formatEndpoint({ address: destination, port: destinationPort });
  return [`${from}>${to}`, elem.counter ?? ZERO_COUNT];
}

/** What arrived of the two connections of a flow: from the peer on the outer, from the core on the inner. */
export function arrivalsOf(
  reading: ShellReading,
  outer: { readonly local: string; readonly remote: string },
  inner: { readonly local: string; readonly remote: string },
): PacketCount {
  const parts = [outer, inner].map(({ local, remote }) => reading.get(`${remote}>${local}`) ?? ZERO_COUNT);
  return {
    packets: parts.reduce((sum, { packets }) => sum + packets, 0),
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
