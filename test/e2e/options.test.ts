/**
 * TCP options against each other: SACK, timestamps, window scale, MSS and ECN, on or off at the peer and at the core, as
 * their kernels negotiate them. Each pair is stitched or refused with its reason, and either way its bytes are right,
 * although both ends lose packets. What either end of a stitched pair saw is compared by value: SACK edges, TSval,
 * TSecr, windows, numbers.
 *
 * A covering selection by default: of the pairs that can be stitched, any two of the ten options meet in all ways. `SUTURE_OPTIONS=all` runs all 1024
 * pairs (8 to 15 min on two cores), `SUTURE_OPTIONS=3` a selection in which any three meet.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { addressOf, type Family, RAW_PORT } from '../../src/lab/stage.js';
import { OptionBit, TcpFlag } from '../../src/wire/segment.js';
import { covering, product } from '../support/covering.js';
import { type Captured, PacketCapture } from '../support/lab/capture.js';
import type { ConnectionResult, Ends, StreamResult } from '../support/lab/results.js';
import { type Client, Rig, TEST_DATAPLANE } from '../support/lab/rig.js';
import {
  both,
  compareSeen,
  echoesProblems,
  isComplete,
  type Side,
  sideOf,
  stampsGoBack,
} from '../support/lab/seen.js';

const SELECTION = process.env.SUTURE_OPTIONS ?? '2';
/** Full packets enough for two losses. */
const BYTES = 160_000;
/** Each end loses every so manieth packet with data. */
const LOSES_ONE_IN = 53;
const SMALL_MSS = { e: 700, b: 600 };
/** A clock of 1 kHz at each end: more than a test takes, far less than the distance of two random clocks. */
const TICKS_OFF = 60_000;

interface Options {
  readonly sack: boolean;
  readonly timestamps: boolean;
  readonly scale: boolean;
  readonly smallMss: boolean;
  readonly ecn: boolean;
}

interface Pair {
  readonly e: Options;
  readonly b: Options;
  readonly family: Family;
}

function optionsOf([sack, timestamps, scale, smallMss, ecn]: readonly boolean[]): Options {
  return Object.freeze({ sack, timestamps, scale, smallMss, ecn }) as Options;
}

/** A selection of the pairs that are to be stitched, and one of those that are not: they hide each other's options. */
function pairs(): Pair[] {
  const isRefused = (row: readonly boolean[]): boolean =>
    refusalOf({ e: optionsOf(row.slice(0, 5)), b: optionsOf(row.slice(5)) }) !== undefined;
  const all = product(10);
  const stitched = all.filter((row) => !isRefused(row));
  const refused = all.filter(isRefused);
  const strength = Number(SELECTION);
  const rows =
    SELECTION === 'all'
      ? [...stitched, ...refused]
      : [...covering(stitched, strength), ...covering(refused, strength - 1)];
  return rows.map((row, i) => ({
    e: optionsOf(row.slice(0, 5)),
    b: optionsOf(row.slice(5)),
    family: (i % 2 === 0 ? 4 : 6) as Family,
  }));
}

function nameOf({ e, b, family }: Pair): string {
  const side = (options: Options): string =>
    Object.entries(options)
      .map(([name, on]) => (on ? name : '-'))
      .join(' ');
  return `IPv${family}, E: ${side(e)}; B: ${side(b)}`;
}

/** The shell's kernel has all options, and negotiates with each end what that end has. */
function refusalOf({ e, b }: Pick<Pair, 'e' | 'b'>): string | undefined {
  if (e.timestamps && !b.timestamps) return 'timestamps-differ';
  if (e.ecn && !b.ecn) return 'ecn-differs';
  return undefined;
}

async function configure(rig: Rig, host: 'e' | 'b', options: Options): Promise<void> {
  const sysctl = (name: string, on: boolean): string => `echo ${on ? 1 : 0} > /proc/sys/net/ipv4/${name}`;
  const gateways = host === 'e' ? ['10.201.1.1', 'fd00:201:1::1'] : ['10.201.3.1', 'fd00:201:3::1'];
  const mss = options.smallMss ? ` advmss ${SMALL_MSS[host]}` : '';
  const lines = [
    sysctl('tcp_sack', options.sack),
    sysctl('tcp_timestamps', options.timestamps),
    sysctl('tcp_window_scaling', options.scale),
    sysctl('tcp_ecn', options.ecn),
    ...([4, 6] as const).map(
      (family, i) => `ip route replace ${addressOf('a', family)} via ${gateways[i]}${mss}`,
    ),
  ];
  await rig.tool(host, ['sh', '-ec', lines.join('\n')]);
}

/** Packets as they are on a wire, none joined or to be cut; and some of those with data are lost at their receiver. */
async function prepare(rig: Rig, host: 'e' | 'a' | 'b'): Promise<void> {
  await rig.tool(host, ['ethtool', '-K', 'eth0', 'tso', 'off', 'gso', 'off', 'gro', 'off']);
  if (host === 'a') {
    await rig.tool(host, ['sysctl', '-qw', 'net.ipv4.tcp_ecn=1']);
    return;
  }
  const port = host === 'e' ? 'sport' : 'dport';
  const rule = `tcp ${port} ${RAW_PORT} meta length > 300 numgen inc mod ${LOSES_ONE_IN} == 5 counter drop`;
  const rules = `table inet loss { chain input { type filter hook input priority 0; ${rule}; }; }`;
  await rig.tool(host, ['nft', '-f', '-'], rules);
}

/** Reports of one client, pair by pair. */
class Reports {
  #read = 0;
  constructor(private readonly client: Client) {}
  next<T>(): Promise<T> {
    return this.client.report<T>(this.#read++);
  }
}

t.test('options against each other', async (t) => {
  const rig = await Rig.up(t);
  await rig.startPath({ switchConfig: { timers: { lingerClosed: '5s', lingerReset: '5s' } } });
  await Promise.all((['e', 'a', 'b'] as const).map((host) => prepare(rig, host)));
  const captures = {
    e: await PacketCapture.start(rig, 'e', `tcp port ${RAW_PORT}`),
    b: await PacketCapture.start(rig, 'b', `tcp port ${RAW_PORT}`),
  };
  const all = pairs().map((pair, i) => ({ ...pair, seed: i + 1, open: rig.go(), go: rig.go() }));
  const connections = all.map(({ open, go, family, seed }) => ({
    ...{ open: open.path, go: go.path, seed, bytes: BYTES },
    ...{ host: addressOf('a', family), port: RAW_PORT },
  }));
  // More than a command line holds.
  const list = join(rig.folder, 'connections.json');
  writeFileSync(list, JSON.stringify(connections));
  const reports = new Reports(rig.startClient('echoes', { list }));
  const sums = { stitched: 0, compared: 0, sackBlocks: 0 };
  const refused = new Map<string, number>();

  for (const pair of all) {
    await t.test(nameOf(pair), async (t) => {
      await Promise.all([configure(rig, 'e', pair.e), configure(rig, 'b', pair.b)]);
      pair.open.say();
      const ends = await reports.next<Ends>();
      const refusal = refusalOf(pair);
      const flow = await rig
        .flowOf(ends, ({ state }) => state === 'stitched' || state === 'refused')
        .catch((error) => {
          // The next pair waits for this one's end.
          pair.go.say();
          return Promise.all([reports.next(), reports.next()]).then(() => Promise.reject(error));
        });
      t.equal(flow.state, refusal ? 'refused' : 'stitched');
      t.equal(flow.reason, refusal, 'reason');
      const since = Date.now();
      pair.go.say();
      const result = await reports.next<StreamResult & { readonly error?: string }>();
      t.equal(result.error, undefined);
      t.equal(result.bytes, BYTES);
      t.equal(result.received, result.sent, 'SHA-256');
      await reports.next<ConnectionResult>();
      await rig.flowOf(ends, ({ state }) => state === 'closed');
      if (refusal) {
        refused.set(refusal, (refused.get(refusal) ?? 0) + 1);
      } else {
        const { inner } = flow;
        const whole = (end: string) => (packets: readonly Captured[]) =>
          packets.filter(({ segment }) => segment.has(TcpFlag.Syn)).length > 1 &&
          isComplete(sideOf(packets, end));
        const e = await captures.e.until(ends.local, ends.remote, whole(ends.local), 'E: not complete');
        const b = await captures.b.until(inner.local, inner.remote, whole(inner.remote), 'B: not complete');
        const sides = [sideOf(e, ends.local), sideOf(b, inner.remote)] as const;
        const found = checkSeen(t, pair, ...sides, since);
        sums.stitched++;
        sums.compared += found.compared;
        sums.sackBlocks += found.sackBlocks;
      }
      captures.e.clear();
      captures.b.clear();
    });
  }
  t.ok(sums.stitched > 0 && refused.size === 2, 'both outcomes, and both reasons');
  t.comment(
    `${sums.stitched} pairs stitched, ${sums.compared} packets and ${sums.sackBlocks} SACK blocks compared; ` +
      `refused: ${JSON.stringify(Object.fromEntries(refused))}`,
  );
});

function checkSeen(
  t: Test,
  pair: Pair,
  e: Side,
  b: Side,
  since: number,
): { compared: number; sackBlocks: number } {
  // The second SYN asks for no more than the first connection has.
  for (const bit of [OptionBit.Timestamps, OptionBit.SackPermitted]) {
    if (!both(e, bit)) t.notOk(b.shell.hasOption(bit), 'not asked for at the core');
  }
  t.equal(both(e, OptionBit.Timestamps), pair.e.timestamps);
  t.equal(both(e, OptionBit.SackPermitted), pair.e.sack);
  t.equal(both(e, OptionBit.WindowScale), pair.e.scale);
  t.equal(both(b, OptionBit.Timestamps), pair.e.timestamps, 'both have timestamps, or neither');
  t.equal(both(b, OptionBit.SackPermitted), pair.e.sack && pair.b.sack);
  t.ok(b.shell.mss <= e.own.mss, `the core is told an MSS that the peer takes: ${b.shell.mss}`);

  const up = compareSeen(e, b, since);
  const down = compareSeen(b, e, since);
  t.strictSame(up.problems, [], 'what the core saw');
  t.strictSame(down.problems, [], 'what the peer saw');
  t.ok(
    up.compared >= BYTES / 1500 && down.compared >= BYTES / 1500,
    `${up.compared}, ${down.compared} packets`,
  );
  t.strictSame(echoesProblems(e, b, since, down.tsDelta), []);
  t.strictSame(echoesProblems(b, e, since, up.tsDelta), []);
  t.equal(stampsGoBack(e), undefined);
  t.equal(stampsGoBack(b), undefined);
  for (const [found, from, to] of [
    [up, e, b],
    [down, b, e],
  ] as const) {
    const clocks = clockDistance(from, to);
    t.equal(found.tsDelta === undefined, clocks === undefined);
    if (clocks !== undefined && found.tsDelta !== undefined) {
      const off = Math.abs((found.tsDelta - clocks) | 0);
      t.ok(off < TICKS_OFF, `the receiver's clock is the shell's own, ${off} ticks off`);
    }
    // A receiver that lost something said so, if both connections have SACK.
    if (both(e, OptionBit.SackPermitted) && both(b, OptionBit.SackPermitted)) {
      t.ok(found.sackBlocks > 0, `${found.sackBlocks} SACK blocks`);
    } else {
      t.equal(found.sackBlocks, 0);
    }
  }
  checkSizes(t, pair, e, b, since);
  return { compared: up.compared + down.compared, sackBlocks: up.sackBlocks + down.sackBlocks };
}

/** Nothing larger than the receiver's MSS (RFC 6691 section 2); on the kernel path see docs/LIMITS.md. */
function checkSizes(t: Test, pair: Pair, e: Side, b: Side, since: number): void {
  const largest = ({ got }: Side): number =>
    Math.max(
      ...got
        .filter(({ at }) => at >= since)
        .map(({ segment: s }) => s.payloadLength + (s.hasOption(OptionBit.Timestamps) ? 12 : 0)),
    );
  t.ok(largest(e) <= e.own.mss, `to the peer ${largest(e)} of ${e.own.mss}`);
  if (TEST_DATAPLANE === 'kernel' && pair.b.smallMss) return;
  t.ok(largest(b) <= b.own.mss, `to the core ${largest(b)} of ${b.own.mss}`);
}

/** The shell's clock towards `to` minus `from`'s own, as the first packets had them. */
function clockDistance(from: Side, to: Side): number | undefined {
  if (!both(to, OptionBit.Timestamps)) return undefined;
  return (to.shell.tsval - from.own.tsval) | 0;
}
