/**
 * What TCP allows and few applications do, through a stitched flow between two real kernels, IPv4 and IPv6: urgent
 * data, keepalives, zero windows, simultaneous close, stray SYNs and resets, fragments, IP options and extension
 * headers, a port that is used again at once. Packets that no socket sends are made by hand; what either end saw is
 * read from a capture.
 *
 * Tagged frames are made by hand too, since not every kernel has VLAN devices; so nothing here runs on one.
 */
import t, { type Test } from 'tap';
import { addressOf, type Family, route } from '../../src/lab/stage.js';
import type { FlowDetail } from '../../src/switch/admin-protocol.js';
import { parseEndpoint, tupleOf } from '../../src/wire/endpoint.js';
import { TcpFlag } from '../../src/wire/segment.js';
import { type SeqNum, seqAdd, seqMax } from '../../src/wire/seq.js';
import { ETHERNET_HEADER, type RawPacket, rawFrame } from '../kernel/support/frames.js';
import { type Captured, PacketCapture } from '../support/lab/capture.js';
import type { Ends, StreamResult } from '../support/lab/results.js';
import { type Client, Rig, TEST_DATAPLANE } from '../support/lab/rig.js';
import { type Side, sideOf } from '../support/lab/seen.js';

const { Syn, Ack, Fin, Rst, Urg } = TcpFlag;
const PORT = 8090;
const FIXED_PORT = 45_000;
const FAMILIES = [4, 6] as const;
const BYTES = 300_000;
/** More than the windows and buffers on the way hold. */
const STALLED_BYTES = 3_000_000;
const STALL_SECONDS = 1.5;
/** RFC 9293 section 3.8.4: a keepalive repeats at most one byte, and so does a probe of a closed window. */
const PROBE_BYTES = 1;

interface Step {
  readonly do: string;
  readonly bytes?: number;
  readonly seconds?: number;
  readonly seed?: number;
}

class Connection {
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

class Ground {
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

function endpoint(text: string): { address: string; port: number } {
  const found = parseEndpoint(text);
  if (!found) throw new Error(`not an endpoint: ${text}`);
  return found;
}

/** Where a sender stands after these packets: what comes next, what it expects. */
function nextOf(sent: readonly Captured[]): { seq: SeqNum; ack: SeqNum; tsval: number; tsecr: number } {
  const plain = sent.map(({ segment }) => segment).filter((s) => !s.has(Rst) && !s.has(Syn));
  const last = plain.at(-1);
  if (!last) throw new Error('nothing was sent');
  const { ack, tsval, tsecr } = last;
  return { seq: plain.reduce((most, s) => seqMax(most, s.end), last.end), ack, tsval, tsecr };
}

function stamps({ tsval, tsecr }: { tsval: number; tsecr: number }): Buffer {
  const options = Buffer.from([1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
  options.writeUInt32BE(tsval, 4);
  options.writeUInt32BE(tsecr, 8);
  return options;
}

function checkBytes(t: Test, result: StreamResult, bytes = BYTES): void {
  t.equal(result.bytes, bytes);
  t.equal(result.received, result.sent, 'SHA-256');
}

/** The connection is over by now, and went as it should; nothing of it came to the shell. */
async function checkEnd(t: Test, ground: Ground, { ends, flow }: Connection, reason = 'fin'): Promise<void> {
  const end = await ground.rig.flowOf(ends, ({ id, state }) => id === flow.id && state === 'closed');
  t.equal(end.reason, reason);
  t.strictSame(end.toShellStitched, { packets: 0, bytes: 0 }, 'nothing to the shell');
}

const echo = (seed: number): Step => ({ do: 'echo', bytes: BYTES, seed });

type Check = (t: Test, ground: Ground, family: Family) => Promise<void>;

const urgent: Check = async (t, ground, family) => {
  const connection = await ground.open(family, 'URGENT', [{ do: 'urgent' }]);
  const heard = { urgent: '!', inline: 'beforeafter' };
  t.match(await connection.step(), { near: heard, far: heard }, 'one byte out of band, each way');
  await checkEnd(t, ground, connection);
  const { e, b } = ground.sides(connection);
  for (const [from, to] of [
    [e, b],
    [b, e],
  ] as const) {
    const urgents = (packets: readonly Captured[]): number[] =>
      packets.filter(({ segment }) => segment.has(Urg)).map(({ segment }) => segment.urgent);
    t.ok(urgents(from.sent).length > 0);
    t.strictSame(urgents(to.got), urgents(from.sent), 'urgent pointers');
  }
};

const keepalives: Check = async (t, ground, family) => {
  const connection = await ground.open(family, 'ECHO', [echo(1), echo(2)], { keepalive: 1 });
  checkBytes(t, await connection.step());
  const { seq } = nextOf((await ground.calm(connection)).e.sent);
  const below = seqAdd(seq, -1);
  await ground.until(connection, 'three keepalives, and an answer to each', (e, b) => {
    const isProbe = (at: number) => (packet: Captured) =>
      packet.segment.seq === at && packet.segment.payloadLength <= PROBE_BYTES;
    const first = e.sent.findIndex(isProbe(below));
    if (first < 0) return false;
    const since = e.sent[first]?.at ?? 0;
    const inner = seqAdd(below, b.shell.seq - e.own.seq);
    const answers = e.got.filter(({ at, segment }) => at >= since && segment.ack === seq);
    return b.got.filter(isProbe(inner)).length >= 3 && answers.length >= 3;
  });
  checkBytes(t, await connection.step());
  await checkEnd(t, ground, connection);
};

/** A receiver that reads nothing for a while: its window closes, is probed, and opens again. */
const zeroWindow =
  (stalled: 'e' | 'b'): Check =>
  async (t, ground, family) => {
    const line = stalled === 'b' ? `STALL ${STALLED_BYTES} ${STALL_SECONDS}` : `PAUSE ${STALLED_BYTES}`;
    const step = { do: stalled === 'b' ? 'stall' : 'pause', bytes: STALLED_BYTES, seconds: STALL_SECONDS };
    const connection = await ground.open(family, line, [step]);
    checkBytes(t, await connection.step(), STALLED_BYTES);
    await checkEnd(t, ground, connection);
    const { e, b } = ground.sides(connection);
    const [reader, writer] = stalled === 'e' ? [e, b] : [b, e];
    const closed = writer.got.find(({ segment }) => segment.window === 0 && !segment.has(Rst));
    t.ok(closed, 'the sender saw a closed window');
    const probes = reader.got.filter(
      ({ at, segment }) => at > (closed?.at ?? 0) && segment.payloadLength <= PROBE_BYTES,
    );
    t.ok(probes.length > 0, `${probes.length} probes came through`);
  };

const simultaneousClose: Check = async (t, ground, family) => {
  const go = ground.rig.go();
  const connection = await ground.open(family, `FIRST ${go.path}`, [{ do: 'end', bytes: 0 }]);
  await ground.deaf(async () => {
    go.say();
    connection.say(0);
    const hasFin = (packet: Captured): boolean => packet.segment.has(Fin);
    await ground.until(connection, 'both FINs', (e, b) => e.sent.some(hasFin) && b.sent.some(hasFin));
  });
  checkBytes(t, await connection.report(), 0);
  await checkEnd(t, ground, connection);
  const { e, b } = ground.sides(connection);
  for (const { sent, got } of [e, b]) {
    const own = sent.find(({ segment }) => segment.has(Fin))?.segment;
    const other = got.find(({ segment }) => segment.has(Fin))?.segment;
    t.ok(own && other && own.ack === seqAdd(other.end, -1), 'each ended before it heard of the other’s end');
  }
};

/** RFC 5961 section 4: a SYN on a live connection draws an ack and changes nothing. */
const strayOnLive =
  (host: 'e' | 'b', kind: 'SYN' | 'RST'): Check =>
  async (t, ground, family) => {
    const connection = await ground.open(family, 'ECHO', [echo(1), echo(2)]);
    checkBytes(t, await connection.step());
    const { seq, ack } = nextOf((await ground.calm(connection))[host].sent);
    const since = Date.now();
    // In the window, and not what comes next (RFC 5961 section 3.2).
    const packet =
      kind === 'SYN' ? { seq: seqAdd(seq, 500), flags: Syn } : { seq: seqAdd(seq, 100), flags: Rst };
    await ground.inject(host, connection, packet);
    await ground.until(connection, 'a challenge ack', (e, b) =>
      (host === 'e' ? e : b).got.some(
        ({ at, segment: s }) => at >= since && s.flags === Ack && s.ack === seq && s.seq === ack,
      ),
    );
    checkBytes(t, await connection.step());
    await checkEnd(t, ground, connection);
  };

const synOnClosing: Check = async (t, ground, family) => {
  const connection = await ground.open(family, `LATE ${BYTES} 1.5`, [{ do: 'end', bytes: BYTES }]);
  connection.say(0);
  await ground.rig.flowOf(connection.ends, ({ state }) => state === 'closing');
  const { seq } = nextOf(ground.sides(connection).e.sent);
  await ground.inject('e', connection, { seq: seqAdd(seq, 1_000_000), flags: Syn });
  checkBytes(t, await connection.report());
  await checkEnd(t, ground, connection);
};

const portReuse: Check = async (t, ground, family) => {
  // The server ends first, so that no TIME-WAIT keeps the client from its port.
  const rounds = [
    { timestamps: 1, endings: ['end', 'reset', 'reset', 'end'] },
    { timestamps: 0, endings: ['end', 'end', 'reset', 'end'] },
  ];
  for (const { timestamps, endings } of rounds) {
    await ground.rig.tool('e', ['sysctl', '-qw', `net.ipv4.tcp_timestamps=${timestamps}`]);
    const ids = new Set<string>();
    for (const ending of endings) {
      const go = ground.rig.go();
      const line = ending === 'end' ? `FIRST ${go.path}` : 'ECHO';
      const steps = ending === 'end' ? [{ do: 'end', bytes: 0 }] : [echo(1), { do: 'reset' }];
      const connection = await ground.open(family, line, steps, { from: FIXED_PORT });
      ids.add(connection.flow.id);
      if (ending === 'reset') {
        checkBytes(t, await connection.step());
      } else {
        go.say();
        await ground.rig.flowOf(connection.ends, ({ state }) => state === 'closing');
      }
      await connection.step();
      await connection.client.finished();
      await checkEnd(t, ground, connection, ending === 'end' ? 'fin' : 'reset-by-peer');
    }
    t.equal(ids.size, endings.length, `each a flow of its own${timestamps ? '' : ', without timestamps'}`);
  }
  await ground.rig.tool('e', ['sysctl', '-qw', 'net.ipv4.tcp_timestamps=1']);
};

/** A segment in two fragments is the host's: it comes to the shell, and what the shell says to it ends at the switch. */
const fragments: Check = async (t, ground, family) => {
  const connection = await ground.open(family, 'ECHO', [echo(1), echo(2)]);
  checkBytes(t, await connection.step());
  const next = nextOf((await ground.calm(connection)).e.sent);
  const { ends } = connection;
  const tuple = tupleOf(endpoint(ends.local), endpoint(ends.remote));
  const packet = { ...next, flags: Ack, options: stamps(next), length: 200 };
  const whole = rawFrame({ ...packet, tuple }).subarray(ETHERNET_HEADER);
  const [before, swallowed] = [await ground.counter('fragments'), await ground.counter('swallowed')];
  await ground.injectIp('e', family === 4 ? inTwo4(whole) : inTwo6(whole));
  await ground.rig.stage.until(
    async () =>
      (await ground.counter('fragments')) >= before + 2 && (await ground.counter('swallowed')) > swallowed,
    30_000,
    () => 'no fragments were counted, or no answer of the shell’s was swallowed',
  );
  checkBytes(t, await connection.step());
  await checkEnd(t, ground, connection);
};

function inTwo4(packet: Buffer): Buffer[] {
  const header = packet.subarray(0, 20);
  const payload = packet.subarray(20);
  return [
    [0, 104, 0x2000],
    [104, payload.length, 13],
  ].map(([from = 0, to = 0, offset = 0]) => {
    const part = Buffer.concat([header, payload.subarray(from, to)]);
    part.writeUInt16BE(part.length, 2);
    part.writeUInt16BE(0x4321, 4);
    part.writeUInt16BE(offset, 6);
    // The kernel fills in the header's checksum (raw(7)).
    return part;
  });
}

function inTwo6(packet: Buffer): Buffer[] {
  const payload = packet.subarray(40);
  return [
    [0, 104, 1],
    [104, payload.length, 104],
  ].map(([from = 0, to = 0, offset = 0]) => {
    const header = Buffer.from(packet.subarray(0, 40));
    const fragment = Buffer.from([header[6] as number, 0, 0, 0, 0, 0, 0x43, 0x21]);
    fragment.writeUInt16BE(offset, 2);
    header[6] = 44;
    header.writeUInt16BE(8 + to - from, 4);
    return Buffer.concat([header, fragment, payload.subarray(from, to)]);
  });
}

/** RFC 2883: bytes that came twice are told in a first SACK block, below the ack. */
const duplicateSack =
  (host: 'e' | 'b'): Check =>
  async (t, ground, family) => {
    const connection = await ground.open(family, 'ECHO', [echo(1), echo(2)]);
    checkBytes(t, await connection.step());
    const next = nextOf((await ground.calm(connection))[host].sent);
    const seq = seqAdd(next.seq, -50);
    await ground.inject(host, connection, { ...next, seq, flags: Ack, options: stamps(next), length: 10 });
    await ground.until(connection, 'a D-SACK of just these bytes', (e, b) =>
      (host === 'e' ? e : b).got.some(
        ({ segment: s }) =>
          s.sackCount > 0 &&
          s.ack === next.seq &&
          s.sackLeft[0] === seq &&
          s.sackRight[0] === seqAdd(seq, 10),
      ),
    );
    checkBytes(t, await connection.step());
    await checkEnd(t, ground, connection);
  };

/** Options between the IP header and TCP go along unchanged. */
const ipOptions =
  (options: Readonly<Record<string, string>>): Check =>
  async (t, ground, family) => {
    const connection = await ground.open(family, 'ECHO', [echo(1)], options);
    checkBytes(t, await connection.step());
    await checkEnd(t, ground, connection);
    const { e, b } = ground.sides(connection);
    const between = ({ between }: Captured): string => between.toString('hex');
    const sent = new Set(e.sent.map(between));
    t.equal(sent.size, 1, 'on every packet of the peer’s');
    t.ok(
      [...sent].every((hex) => hex.length > 0),
      [...sent].join(),
    );
    const data = b.got.filter(({ segment }) => segment.payloadLength > 100);
    t.ok(data.length > 0);
    t.strictSame(new Set(data.map(between)), sent, 'and on what reached the core');
  };

/** A tag without a VLAN (IEEE 802.1Q: a priority tag) changes nothing; a frame of a VLAN is for another interface. */
const vlanTags: Check = async (t, ground, family) => {
  const PRIORITY = 0xa000;
  const VLAN_5 = 5;
  const connection = await ground.open(family, 'ECHO', [echo(1), echo(2)]);
  checkBytes(t, await connection.step());
  const { seq } = nextOf((await ground.calm(connection)).e.sent);
  const { ends } = connection;
  const tuple = tupleOf(endpoint(ends.local), endpoint(ends.remote));
  const mac = await ground.switchMac();
  const frames = [PRIORITY, VLAN_5].map((tci) => {
    const frame = rawFrame({ tuple, seq: seqAdd(seq, 100 + tci), flags: Rst });
    mac.copy(frame);
    const tag = Buffer.from([0x81, 0x00, tci >> 8, tci & 0xff]);
    return Buffer.concat([frame.subarray(0, 12), tag, frame.subarray(12)]).toString('hex');
  });
  await ground.rig.client('frames.py', { frames });
  checkBytes(t, await connection.step());
  await checkEnd(t, ground, connection);
  const { e, b } = ground.sides(connection);
  const resets = b.got.filter(({ segment }) => segment.has(Rst)).map(({ segment }) => segment.seq);
  t.strictSame(resets, [seqAdd(seq, 100 + PRIORITY + b.shell.seq - e.own.seq)]);
};

const flowLabel: Check = async (t, ground, family) => {
  const connection = await ground.open(family, 'ECHO', [echo(1)]);
  checkBytes(t, await connection.step());
  await checkEnd(t, ground, connection);
  const { e, b } = ground.sides(connection);
  const labels = (packets: readonly Captured[]): Set<number> =>
    new Set(packets.filter(({ segment: s }) => s.payloadLength > 10).map((packet) => packet.flowLabel));
  t.ok([...labels(e.sent)].every((label) => label > 0));
  t.strictSame(labels(b.got), labels(e.sent), 'to the core');
  t.strictSame(labels(e.got), labels(b.sent), 'to the peer');
};

const CASES: readonly { name: string; check: Check; families?: readonly Family[] }[] = [
  { name: 'urgent data', check: urgent },
  { name: 'keepalives through an idle flow', check: keepalives },
  { name: 'a core that does not read', check: zeroWindow('b') },
  { name: 'a peer that does not read', check: zeroWindow('e') },
  { name: 'simultaneous close', check: simultaneousClose },
  ...(['SYN', 'RST'] as const).flatMap((kind) =>
    (['e', 'b'] as const).map((host) => ({
      name: `a stray ${kind} of the ${host === 'e' ? 'peer' : 'core'}’s`,
      check: strayOnLive(host, kind),
    })),
  ),
  { name: 'a SYN on a closing tuple', check: synOnClosing },
  { name: 'a port used again at once', check: portReuse },
  { name: 'fragments', check: fragments },
  { name: 'D-SACK to the peer', check: duplicateSack('e') },
  { name: 'D-SACK to the core', check: duplicateSack('b') },
  { name: 'IPv4 options: NOPs', check: ipOptions({ ipOptions: '01010101' }), families: [4] },
  { name: 'IPv4 options: router alert', check: ipOptions({ ipOptions: '94040000' }), families: [4] },
  {
    name: 'IPv6 hop-by-hop options',
    check: ipOptions({ hopOptions: '0000050200000100' }),
    families: [6],
  },
  {
    name: 'IPv6 destination options',
    check: ipOptions({ destinationOptions: '0000010400000000' }),
    families: [6],
  },
  {
    name: 'both',
    check: ipOptions({ hopOptions: '0000010400000000', destinationOptions: '0000010400000000' }),
    families: [6],
  },
  { name: 'VLAN tags', check: vlanTags },
  { name: 'flow labels', check: flowLabel, families: [6] },
];

t.test('unusual packets through a stitched flow', async (t) => {
  const ground = await Ground.make(t);
  for (const family of FAMILIES) {
    for (const { name, check, families = FAMILIES } of CASES) {
      if (!families.includes(family)) continue;
      ground.clear();
      await t.test(`IPv${family}: ${name}`, (t) => check(t, ground, family));
    }
  }
});
