/**
 * Explicit congestion notification (RFC 3168) on stitched flows, as the ends' kernels do it. On the wire to the switch some
 * packets with data get the CE mark, both ways: the mark comes through, the receiver answers ECE, the sender CWR, and both of
 * these come through too. Every byte is right. Some 4 s.
 */
import t, { type Test } from 'tap';
import { addressOf, type Family, RAW_PORT } from '../../src/lab/stage.js';
import type { ConnectionResult } from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';

/** One packet in so many is marked. */
const MARK_ONE_IN = 20;
const SEEN_MS = 60_000;
const END_MS = 60_000;

type End = 'e' | 'b';
type Counts = Readonly<Record<string, number>>;

const FAMILIES = [
  [4, 'ip', 'ipv4'],
  [6, 'ip6', 'ipv6'],
] as const;

function lines(of: (family: Family, ip: string, protocol: string) => string): string {
  return FAMILIES.map(([family, ip, protocol]) => of(family, ip, protocol)).join('\n');
}

/** On the wires between the ends and the switch, where super-frames are cut already. */
function marking(): string {
  const mark = (end: End, ip: string, family: Family): string =>
    `iifname h-${end} tcp ${end === 'e' ? 'dport' : 'sport'} ${RAW_PORT} ${ip} ecn ect0 ` +
    `numgen inc mod ${MARK_ONE_IN} == 5 ${ip} ecn set ce counter name ${end}${family}`;
  return `table bridge marks {
${lines((family) => `counter e${family} { }\ncounter b${family} { }`)}
chain forward {
type filter hook forward priority 0
${lines((family, ip) => mark('e', ip, family))}
${lines((family, ip) => mark('b', ip, family))}
}
}
`;
}

/** What comes in at an end. */
function counting(end: End): string {
  const into = `tcp ${end === 'e' ? 'sport' : 'dport'} ${RAW_PORT}`;
  const flagged = (flag: 'ecn' | 'cwr', name: string, protocol: string): string =>
    `meta nfproto ${protocol} ${into} tcp flags & (syn | ${flag}) == ${flag} counter name ${name}`;
  return `table inet marks {
${lines((family) => `counter ce${family} { }\ncounter ece${family} { }\ncounter cwr${family} { }`)}
chain coming {
type filter hook prerouting priority 0
${lines((family, ip) => `${into} ${ip} ecn ce counter name ce${family}`)}
${lines((family, _, protocol) => flagged('ecn', `ece${family}`, protocol))}
${lines((family, _, protocol) => flagged('cwr', `cwr${family}`, protocol))}
}
}
`;
}

async function countsOf(rig: Rig, host: End | 'w'): Promise<Counts> {
  const table = [host === 'w' ? 'bridge' : 'inet', 'marks'];
  const text = await rig.tool(host, ['nft', '-j', 'list', 'counters', 'table', ...table]);
  const { nftables } = JSON.parse(text) as { nftables: { counter?: { name: string; packets: number } }[] };
  return Object.fromEntries(
    nftables.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets]] : [])),
  );
}

/** A counter of the kernel's, of the whole host. */
async function kernelCount(rig: Rig, end: End, name: string): Promise<number> {
  const text = await rig.tool(end, ['nstat', '-asz', name]);
  return Number(new RegExp(`^${name}\\s+(\\d+)`, 'm').exec(text)?.[1]);
}

async function checkFamily(t: Test, rig: Rig, family: Family): Promise<void> {
  const go = rig.go();
  const connections = [{ kind: 'both', port: RAW_PORT, seed: family }];
  const host = addressOf('a', family);
  const client = rig.startClient('load', { host, connections, go: go.path, limitMs: END_MS });
  const [ends] = await client.report<ConnectionResult[]>(0);
  const { id } = await rig.stitched(ends as ConnectionResult);
  for (const end of ['e', 'b'] as const) await rig.tool(end, ['nft', '-f', '-'], counting(end));
  await rig.tool('w', ['nft', '-f', '-'], marking());

  // Marks last: there are never fewer of them than were seen before.
  const seen = async (): Promise<Readonly<Record<End | 'w', Counts>>> => ({
    e: await countsOf(rig, 'e'),
    b: await countsOf(rig, 'b'),
    w: await countsOf(rig, 'w'),
  });
  let counts = await seen();
  const names = (['ce', 'ece', 'cwr'] as const).map((name) => `${name}${family}` as const);
  await rig.stage.until(
    async () => {
      counts = await seen();
      return names.every((name) => Math.min(counts.e[name] ?? 0, counts.b[name] ?? 0) > 0);
    },
    SEEN_MS,
    () => `not all came through: ${JSON.stringify(counts)}`,
  );
  const flow = await rig.stage.admin.flow(id);
  t.equal(flow.state, 'stitched');
  t.strictSame(flow.toShellStitched, { packets: 0, bytes: 0 }, 'all of it past the shell');
  go.say();
  await client.finished();
  const [result] = await client.report<{ outcome: string }[]>(1);
  t.equal(result?.outcome, 'ok', 'every byte');
  counts = await seen();
  t.comment(JSON.stringify(counts));
  for (const [from, to] of [
    ['e', 'b'],
    ['b', 'e'],
  ] as const) {
    const [made = 0, came = 0] = [counts.w[`${from}${family}`], counts[to][`ce${family}`]];
    t.ok(came <= made, `${to}: no mark that nobody made`);
    t.ok((await kernelCount(rig, to, 'IpExtInCEPkts')) > 0, `${to}: its kernel saw marks`);
    t.ok((await kernelCount(rig, from, 'TcpExtTCPDeliveredCE')) > 0, `${from}: its kernel was told of them`);
  }
  await rig.tool('w', ['nft', 'delete', 'table', 'bridge', 'marks']);
  for (const end of ['e', 'b'] as const) await rig.tool(end, ['nft', 'delete', 'table', 'inet', 'marks']);
}

t.test('congestion marks', async (t) => {
  const rig = await Rig.up(t, { bridged: true });
  for (const host of ['e', 'a', 'b'] as const) {
    // Packets as they are on a wire: a mark is one packet's.
    await rig.tool(host, ['ethtool', '-K', 'eth0', 'tso', 'off', 'gso', 'off', 'gro', 'off']);
    const settings = ['net.ipv4.tcp_ecn=1', 'net.ipv4.tcp_congestion_control=reno'];
    await rig.tool(host, ['sysctl', '-qw', ...settings]);
  }
  await rig.startPath();
  for (const family of [4, 6] as const) await t.test(`IPv${family}`, (t) => checkFamily(t, rig, family));
});
