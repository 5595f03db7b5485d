import t from 'tap';
import { parseConfig } from '../../src/platform/config/index.js';
import { Destinations } from '../../src/shell/destinations.js';
import { matchesName, NameTable } from '../../src/shell/names/patterns.js';

/** The rules as a config file has them. */
function destinations(allow: string): Destinations {
  const text = `name: a\nauth: { mode: none }\nports: 20000-20009\nroutes: [{ listen: 10.0.0.1:1080, socks5: true, allow: ${allow} }]\n`;
  const { routes } = parseConfig('shell', 'f', text, { hostPorts: undefined });
  return new Destinations(routes[0]?.allow ?? [], () => ['10.0.0.1', 'fd00::1']);
}

/** `name>address:port` or `address port`, and whether it may be reached. */
const CASES: [string, [string, number, (string | undefined)?, boolean?][]][] = [
  [
    '["10.0.0.0/8:443"]',
    [
      ['10.1.2.3', 443, undefined, true],
      ['10.1.2.3', 80],
      ['11.0.0.1', 443],
      ['fd00::2', 443],
    ],
  ],
  [
    '["[fd00::/8]:8000-8009"]',
    [
      ['fd00::2', 8000, undefined, true],
      ['fd00::2', 8009, undefined, true],
      ['fd00::2', 8010],
      ['10.0.0.2', 8000],
    ],
  ],
  [
    '["192.0.2.7:*"]',
    [
      ['192.0.2.7', 1, undefined, true],
      ['192.0.2.7', 65535, 'any.name', true],
      ['192.0.2.8', 1],
    ],
  ],
  [
    '["api.example.org:443"]',
    [
      ['198.51.100.1', 443, 'api.example.org', true],
      ['198.51.100.1', 443],
      ['198.51.100.1', 443, 'example.org'],
      ['198.51.100.1', 80, 'api.example.org'],
    ],
  ],
  [
    '["*.example.org:*"]',
    [
      ['198.51.100.1', 22, 'a.example.org', true],
      ['198.51.100.1', 22, 'a.b.example.org', true],
      ['198.51.100.1', 22, 'example.org'],
      ['198.51.100.1', 22, 'badexample.org'],
    ],
  ],
  [
    '["*:443"]',
    [
      ['198.51.100.1', 443, undefined, true],
      ['2001:db8::1', 443, 'x.org', true],
      ['198.51.100.1', 80],
    ],
  ],
  // What means this host, or nothing elsewhere, takes a rule for just that.
  [
    '["*:*", "0.0.0.0/0:*", "[::/0]:*", "*.example.org:*"]',
    [
      ['127.0.0.1', 80],
      ['127.1.2.3', 80, 'rebind.example.org'],
      ['::1', 80],
      ['::', 80],
      ['0.0.0.0', 80],
      ['10.0.0.1', 80],
      ['fd00::1', 80],
      ['169.254.169.254', 80, 'meta.example.org'],
      ['fe80::1', 80],
      ['224.0.0.1', 80],
      ['255.255.255.255', 80],
      ['ff02::1', 80],
      ['10.0.0.2', 80, undefined, true],
    ],
  ],
  [
    '["127.0.0.0/8:80", "[::1]:80", "10.0.0.1:80", "[fe80::/10]:80"]',
    [
      ['127.0.0.1', 80, undefined, true],
      ['127.0.0.1', 81],
      ['::1', 80, undefined, true],
      ['10.0.0.1', 80, undefined, true],
      ['fe80::1', 80, undefined, true],
      ['fd00::1', 80],
    ],
  ],
  [
    '["10.0.0.0/8:80"]',
    [
      ['10.0.0.1', 80],
      ['10.0.0.2', 80, undefined, true],
    ],
  ],
];

t.test('what the rules allow', async (t) => {
  for (const [allow, cases] of CASES) {
    const rules = destinations(allow);
    for (const [address, port, name, expected = false] of cases) {
      t.equal(rules.allows(address, port, name), expected, `${allow}: ${name ?? ''} ${address} ${port}`);
    }
  }
});

t.test('ports that no rule is about', async (t) => {
  const rules = destinations('["10.0.0.0/8:80", "*.example.org:8000-8009"]');
  t.same(
    [79, 80, 81, 8005].map((port) => rules.mayAllow(port)),
    [false, true, false, true],
  );
});

t.test('names', async (t) => {
  t.equal(matchesName('example.org', 'example.org'), true);
  t.equal(matchesName('example.org', 'a.example.org'), false);
  t.equal(matchesName('*.example.org', '.example.org'), true, 'which no parser lets through');
  const table = new NameTable([
    ['*.example.org', 'wide'],
    ['*.deep.example.org', 'narrow'],
    ['one.deep.example.org', 'exact'],
    ['example.org', 'apex'],
  ]);
  t.equal(table.size, 4);
  for (const [name, expected] of [
    ['example.org', 'apex'],
    ['a.example.org', 'wide'],
    ['a.b.example.org', 'wide'],
    ['deep.example.org', 'wide'],
    ['a.deep.example.org', 'narrow'],
    ['a.b.deep.example.org', 'narrow'],
    ['one.deep.example.org', 'exact'],
    ['org', undefined],
    ['example.com', undefined],
    ['', undefined],
  ] as const) {
    t.equal(table.find(name), expected, name);
  }
});
