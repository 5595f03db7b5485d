/**
 * Path MTU discovery through a stitched flow (RFC 1191, RFC 8201): the MTU behind the switch drops while a transfer runs,
 * on the switch's own link and on one behind a router whose ICMP errors the switch has to translate.
 */
import t, { type Test } from 'tap';
import {
  addressOf,
  type Family,
  HTTP_PORT,
  type RouteConfig,
  WORKLOAD_CLASSES,
} from '../../src/lab/stage.js';
import { formatEndpoint } from '../../src/wire/endpoint.js';
import { checkClosed, checkTransfer } from '../support/lab/checks.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';
import { transferStitched } from '../support/lab/transfers.js';

/** Of each transfer; they go on until the MTU has changed. */
const BYTES = 30_000_000;
const MTU = 1280;
const FAMILIES: readonly Family[] = [4, 6];
/** A core in the fifth namespace, with B as its router. */
const BEHIND = { 4: '10.201.9.2', 6: 'fd00:201:9::2' } as const;
const ROUTER = { 4: '10.201.9.1', 6: 'fd00:201:9::1' } as const;

/** Both directions at full speed; `change` is called once they are stitched. Checks every byte. */
async function transferOver(
  t: Test,
  rig: Rig,
  family: Family,
  port: number,
  change: () => Promise<void>,
): Promise<void> {
  const args = { host: addressOf('a', family), port, mode: 'both', bytes: BYTES, seed: family } as const;
  const result = await transferStitched(rig, args, async (ends) => {
    await change();
    t.equal((await rig.flowOf(ends)).state, 'stitched', 'the transfer was still running');
  });
  checkTransfer(t, result, BYTES);
  await checkClosed(t, rig, result);
}

async function counter(rig: Rig, name: string): Promise<number> {
  return (await rig.stage.admin.stats()).counters[`dataplane.${name}`] ?? 0;
}

/** What a host's kernel has learned of the path to an address. */
async function learnedMtu(rig: Rig, host: 'e' | 'b', to: string): Promise<number> {
  const text = await rig.tool(host, ['ip', 'route', 'get', to]);
  return Number(/ mtu (\d+)/.exec(text)?.[1]);
}

for (const family of FAMILIES) {
  t.test(`the MTU of the link to the core drops to ${MTU}, IPv${family}`, async (t) => {
    const rig = await Rig.up(t);
    await rig.startPath();
    await transferOver(t, rig, family, HTTP_PORT, async () => {
      await rig.tool('b', ['ip', 'link', 'set', 'eth0', 'mtu', String(MTU)]);
      await rig.tool('s', ['ip', 'link', 'set', 'to-b', 'mtu', String(MTU)]);
    });
    t.ok((await counter(rig, 'sendTooBig')) > 0, 'packets were too big');
    if (TEST_DATAPLANE === 'kernel') {
      t.equal(await learnedMtu(rig, 'e', addressOf('a', family)), MTU, 'the peer was told');
    } else {
      t.ok((await counter(rig, 'split')) > 0, 'they are split since');
    }
  });

  t.test(`the MTU behind a router drops to ${MTU}, IPv${family}`, async (t) => {
    const rig = await Rig.up(t);
    await coreBehindRouter(rig, family);
    const core = formatEndpoint({ address: BEHIND[family], port: HTTP_PORT });
    const listen = formatEndpoint({ address: addressOf('a', family), port: HTTP_PORT });
    const routes: RouteConfig[] = [{ listen, core }];
    const agents = [
      { name: 'a1', role: 'shell', addresses: [addressOf('a', 4), addressOf('a', 6)] },
      { name: 'b1', role: 'core', addresses: [addressOf('b', 4), addressOf('b', 6), BEHIND[family]] },
    ];
    // A host with two ways out does not look for its switch.
    const coreConfig = { switch: '10.201.3.1:57626' };
    await rig.startPath({ routes, switchConfig: { agents }, coreConfig });
    const workload = ['java', '-Xmx256m', '-cp', WORKLOAD_CLASSES, 'suture.workload.Main', '--http', core];
    await rig.stage.start('core behind a router', 'w', workload).line(/^ready$/, 30_000);
    await transferOver(t, rig, family, HTTP_PORT, async () => {
      await rig.tool('w', ['ip', 'link', 'set', 'eth0', 'mtu', String(MTU)]);
      await rig.tool('b', ['ip', 'link', 'set', 'to-w', 'mtu', String(MTU)]);
    });
    t.ok(
      (await counter(rig, 'icmpTranslated')) > 0,
      'the router complained of what the switch had translated',
    );
    t.equal(await learnedMtu(rig, 'e', addressOf('a', family)), MTU, 'and the peer was told');
  });
}

async function coreBehindRouter(rig: Rig, family: Family): Promise<void> {
  const netns = rig.namespace('w');
  const version = `-${family}`;
  const length = family === 4 ? 24 : 64;
  const net = family === 4 ? '10.201.9.0/24' : 'fd00:201:9::/64';
  const forwarding = family === 4 ? 'net.ipv4.ip_forward=1' : 'net.ipv6.conf.all.forwarding=1';
  const ip = (host: 'b' | 's' | 'w', ...args: string[]): Promise<string> => rig.tool(host, ['ip', ...args]);
  await rig.tool('b', ['ip', 'netns', 'add', netns]);
  await rig.tool('b', ['sysctl', '-qw', forwarding]);
  // The namespaces' names are those of the host's own.
  const link = `link add to-w netns ${rig.namespace('b')} type veth peer name eth0 netns ${netns}\n`;
  await rig.tool('s', ['ip', '-batch', '-'], link);
  for (const [host, device, address] of [
    ['b', 'to-w', ROUTER[family]],
    ['w', 'eth0', BEHIND[family]],
  ] as const) {
    const nodad = family === 6 ? ['nodad'] : [];
    await ip(host, 'addr', 'add', `${address}/${length}`, 'dev', device, ...nodad);
    await ip(host, 'link', 'set', device, 'up');
  }
  await ip('w', version, 'route', 'add', 'default', 'via', ROUTER[family]);
  await ip('s', version, 'route', 'add', net, 'via', addressOf('b', family));
}
