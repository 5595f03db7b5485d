/** The ways out of a host, from texts of the kernel's route tables. */
import { networkInterfaces } from 'node:os';
import t from 'tap';
import { readWays, waysOf } from '../../../src/midcom/discovery/ways.js';

const HEAD = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';

/** Words in the host's byte order, as a little-endian machine prints them. */
function v4(
  name: string,
  destination: string,
  gateway: string,
  flags: string,
  mask: string,
  metric = 0,
): string {
  return `${name}\t${destination}\t${gateway}\t${flags}\t0\t0\t${metric}\t${mask}\t0\t0\t0   \n`;
}

function v6(
  name: string,
  destination: string,
  length: string,
  hop: string,
  flags: string,
  metric = '00000100',
) {
  return `${destination} ${length} ${'0'.repeat(32)} 00 ${hop} ${metric} 00000001 00000000 ${flags} ${name.padStart(8)}\n`;
}

const NONE = '0'.repeat(32);
const LINK_LOCAL = `fe80${'0'.repeat(28)}`;
const MULTICAST = `ff00${'0'.repeat(28)}`;
const GLOBAL = `fd000201000200${'0'.repeat(18)}`;
const GATEWAY = `fd000201000200${'0'.repeat(16)}01`;

const LAN = v4('eth0', '0002C90A', '00000000', '0001', '00FFFFFF');
const DEFAULT = v4('eth0', '00000000', '0102C90A', '0003', '00000000');
const QUIET6 = v6('eth0', LINK_LOCAL, '40', NONE, '00000001') + v6('eth0', MULTICAST, '08', NONE, '00000001');
const LO6 = v6('lo', `${'0'.repeat(31)}1`, '80', NONE, '80200001') + v6('lo', NONE, '00', NONE, '00200200');

t.test('one interface with a default gateway of each family', async (t) => {
  const ipv6 =
    QUIET6 +
    LO6 +
    v6('eth0', GLOBAL, '40', NONE, '00000001') +
    v6('eth0', NONE, '00', GATEWAY, '00000003') +
    v6('eth0', `${GLOBAL.slice(0, -1)}2`, '80', NONE, '80200001');
  t.strictSame(waysOf(HEAD + DEFAULT + LAN, ipv6), [
    { interface: 'eth0', gateways: ['10.201.2.1', 'fd00:201:2::1'] },
  ]);
});

t.test('which interfaces count', async (t) => {
  const cases: [string, string, string, string[]][] = [
    ['nothing at all', '', '', []],
    ['a table without routes', HEAD, LO6, []],
    ['a connected route only', HEAD + LAN, QUIET6, ['eth0']],
    ['IPv6 only', HEAD, v6('eth1', GLOBAL, '40', NONE, '00000001'), ['eth1']],
    ['only what every IPv6 interface has', HEAD, QUIET6, []],
    [
      'its local and anycast addresses only',
      HEAD,
      v6('eth0', GLOBAL, '80', NONE, '80200001') + v6('eth0', GLOBAL, '80', NONE, '40000001'),
      [],
    ],
    ['loopback', HEAD + v4('lo', '0000007F', '00000000', '0001', '000000FF'), '', []],
    [
      'a second interface that is up with an address',
      HEAD + LAN + v4('eth1', '0003C90A', '00000000', '0001', '00FFFFFF'),
      '',
      ['eth0', 'eth1'],
    ],
    [
      'a second one with IPv6 alone',
      HEAD + LAN,
      v6('eth1', GLOBAL, '40', NONE, '00000001'),
      ['eth0', 'eth1'],
    ],
    [
      'a second one with link-local alone',
      HEAD + LAN,
      v6('eth1', LINK_LOCAL, '40', NONE, '00000001'),
      ['eth0'],
    ],
    [
      'a multicast route alone',
      HEAD + LAN + v4('eth1', '000000E0', '00000000', '0001', '000000F0'),
      '',
      ['eth0'],
    ],
    ['a route that rejects', HEAD + LAN + v4('*', '0003C90A', '00000000', '0201', '00FFFFFF'), '', ['eth0']],
    [
      'a default route without a gateway',
      HEAD + v4('tun0', '00000000', '00000000', '0001', '00000000'),
      '',
      ['tun0'],
    ],
    ['lines that are none', `${HEAD}eth0\nx y z\n\n`, 'not a route\n', []],
  ];
  for (const [name, ipv4, ipv6, wanted] of cases) {
    t.strictSame(
      waysOf(ipv4, ipv6).map((way) => way.interface),
      wanted,
      name,
    );
  }
});

t.test('gateways: default ones only, the best first, each once', async (t) => {
  const ipv4 =
    HEAD +
    v4('eth0', '00000000', '0902C90A', '0003', '00000000', 200) +
    v4('eth0', '00000000', '0102C90A', '0003', '00000000', 100) +
    v4('eth0', '00000000', '0102C90A', '0003', '00000000', 300) +
    v4('eth0', '0003C90A', '0802C90A', '0003', '00FFFFFF');
  const ipv6 = v6('eth0', NONE, '00', `fe80${'0'.repeat(27)}1`, '00000003', '00000400');
  t.strictSame(waysOf(ipv4, ipv6), [
    { interface: 'eth0', gateways: ['10.201.2.1', '10.201.2.9', 'fe80::1'] },
  ]);
});

t.test('those of this host are among its interfaces', async (t) => {
  const known = Object.keys(networkInterfaces());
  for (const way of await readWays()) t.ok(known.includes(way.interface), way.interface);
  t.ok(Array.isArray(await readWays()));
});
