import { join } from 'node:path';
import t from 'tap';
import { loadConfig, parseConfig, printConfig, type Role } from '../../src/platform/config/index.js';
import { SutureError } from '../../src/platform/errors.js';

const hostPorts = { ephemeral: { from: 32768, to: 60999 }, reserved: [] };

const SWITCH = `name: s1
interfaces: [to-e, to-a, to-b]
auth: { mode: none }
table: memory            # or redis
dataplane: auto
agents:
  - { name: a1, role: shell, addresses: [10.201.2.2, "fd00:201:2:0::2"] }
  - { name: b1, role: core,  addresses: [10.201.3.2, "fd00:201:3::2"] }
`;
const SHELL = `name: a1
switch: discover
auth: { mode: none }
ports: 20000-29999
routes:
  - listen: 10.201.2.2:8080
    core: 10.201.3.2:8080
    via: tcp
    stitch: now
    teardown: core
`;
const CORE = `name: b1
switch: 10.201.2.1:57626
auth: { mode: none }
offers: [10.201.3.2:8080, "[fd00:201:3::2]:8080"]
`;

function complaint(role: Role, text: string): string {
  try {
    parseConfig(role, 'f.yaml', text, { hostPorts });
  } catch (error) {
    if (error instanceof SutureError && error.code === 'SUT_CONFIG_INVALID') return error.message;
    throw error;
  }
  return 'accepted';
}

t.test('the smallest useful configs get their defaults', async (t) => {
  t.strictSame(parseConfig('switch', 'f.yaml', SWITCH), {
    name: 's1',
    interfaces: ['to-e', 'to-a', 'to-b'],
    auth: { mode: 'none' },
    table: 'memory',
    group: 'default',
    durability: 'strict',
    standby: false,
    scaleOut: false,
    virtualAddresses: [],
    hooks: {},
    redis: { timeout: 1_000, lease: 2_000, queue: 100_000, events: 10_000 },
    dataplane: 'auto',
    bpffs: '/sys/fs/bpf',
    agents: [
      { name: 'a1', role: 'shell', addresses: ['10.201.2.2', 'fd00:201:2::2'] },
      { name: 'b1', role: 'core', addresses: ['10.201.3.2', 'fd00:201:3::2'] },
    ],
    control: { listen: { address: '*', port: 57626 } },
    discovery: { port: 57627 },
    admin: '/run/suture/s1.sock',
    limits: {
      agents: 64,
      flows: 65_536,
      flowsPerAgent: 20_000,
      halfOpen: 16_384,
      requestsPerSecond: 20_000,
      messageSize: 65_536,
    },
    timers: {
      clampDeadline: 200,
      drainLimit: 30_000,
      teardownLimit: 5_000,
      lingerClosed: 240_000,
      lingerReset: 60_000,
      idle: 7_440_000,
    },
    clampCap: 1_048_576,
    log: { level: 'info' },
  });
  t.strictSame(parseConfig('shell', 'f.yaml', SHELL, { hostPorts }), {
    name: 'a1',
    switch: 'discover',
    discovery: { port: 57627 },
    auth: { mode: 'none' },
    ports: { from: 20000, to: 29999 },
    routes: [
      {
        listen: { address: '10.201.2.2', port: 8080 },
        core: { address: '10.201.3.2', port: 8080 },
        via: 'tcp',
        stitch: 'now',
        teardown: 'core',
      },
    ],
    limits: { connections: 10_000, buffer: 65_536, greeting: 16_384 },
    timers: { connect: 10_000, drain: 30_000, greeting: 5_000, keepalive: 60_000 },
    log: { level: 'info' },
  });
  t.strictSame(parseConfig('core', 'f.yaml', CORE), {
    name: 'b1',
    switch: { address: '10.201.2.1', port: 57626 },
    discovery: { port: 57627 },
    auth: { mode: 'none' },
    offers: [
      { address: '10.201.3.2', port: 8080 },
      { address: 'fd00:201:3::2', port: 8080 },
    ],
    log: { level: 'info' },
    calls: 'any',
  });
});

t.test('what is given replaces the defaults', async (t) => {
  const switched = parseConfig(
    'switch',
    'f.yaml',
    `${SWITCH}control: { listen: "[::1]:7000" }\nadmin: unix:/tmp/x.sock\ntimers: { idle: 90, drainLimit: 1m30s }\nclampCap: 64k\n`,
  );
  t.strictSame(switched.control.listen, { address: '::1', port: 7000 });
  t.equal(switched.admin, '/tmp/x.sock');
  t.match(switched.timers, { idle: 90_000, drainLimit: 90_000, clampDeadline: 200 });
  t.equal(switched.clampCap, 65_536);
  const after = 'stitch: { after: { bytes: 1M, age: 500ms, packets: 10, shellLoad: 0.5 } }';
  const shell = parseConfig('shell', 'f.yaml', SHELL.replace('stitch: now', after), { hostPorts });
  t.strictSame(shell.routes[0]?.stitch, {
    after: { bytes: 1_048_576, age: 500, packets: 10, shellLoad: 0.5 },
  });
  const named = parseConfig('core', 'f.yaml', CORE.replace('10.201.2.1:57626', 'gate.example:1'));
  t.strictSame(named.switch, { address: 'gate.example', port: 1 });
});

const OUTBOUND = `name: a1
auth: { mode: none }
ports: 20000-29999
routes:
  - { listen: 10.201.2.2:5432, peer: 10.201.1.2:5432, from: [10.201.3.2, fd00::/8] }
  - { listen: 10.201.2.2:1080, socks5: true, allow: ["10.0.0.0/8:443", "10.0.0.1:*"] }
  - listen: 10.201.2.2:1081
    socks5: { users: [{ user: app, password: "s3cret, and more" }] }
    allow: ["[fd00:201:1:0::/64]:8000-8009", "[fd00::1]:1", "API.Example.org:443", "*.example.net:*", "*:80"]
`;

t.test('routes for connections that the core opens', async (t) => {
  const { routes } = parseConfig('shell', 'f.yaml', OUTBOUND, { hostPorts });
  t.match(routes[0], { peer: { address: '10.201.1.2', port: 5432 }, from: ['10.201.3.2/32', 'fd00::/8'] });
  t.notOk('core' in (routes[0] ?? {}));
  const all = { from: 1, to: 65_535 };
  t.strictSame(routes[1]?.allow, [
    { host: '10.0.0.0/8', ports: { from: 443, to: 443 } },
    { host: '10.0.0.1/32', ports: all },
  ]);
  t.strictSame(routes[2]?.socks5, { users: [{ user: 'app', password: 's3cret, and more' }] });
  t.strictSame(routes[2]?.allow, [
    { host: 'fd00:201:1::/64', ports: { from: 8000, to: 8009 } },
    { host: 'fd00::1/128', ports: { from: 1, to: 1 } },
    { host: 'api.example.org', ports: { from: 443, to: 443 } },
    { host: '*.example.net', ports: all },
    { host: '*', ports: { from: 80, to: 80 } },
  ]);
});

t.test('routes that share a listener', async (t) => {
  const text = SHELL.replace(
    '    teardown: core\n',
    '  - { listen: 10.201.2.2:8080, core: 10.201.3.2:8081, match: { sni: [A.org, "*.a.org"], host: [a.org] } }\n' +
      '  - { listen: 10.201.2.2:8080, core: 10.201.3.2:8082, match: { host: [b.org] } }\n' +
      '  - { listen: 10.201.2.2:8081, core: 10.201.3.2:8082, match: { host: [b.org] } }\n',
  );
  const { routes } = parseConfig('shell', 'f.yaml', text, { hostPorts });
  t.strictSame(
    routes.map(({ match }) => match),
    [undefined, { sni: ['a.org', '*.a.org'], host: ['a.org'] }, { host: ['b.org'] }, { host: ['b.org'] }],
  );
});

t.test('the printed config reads back to the same', async (t) => {
  const after = SHELL.replace(
    'stitch: now',
    'stitch: { after: { age: 1.5s, bytes: 1000, timeOfDay: "22:00-06:00", type: [tls, "*.A.org"] } }',
  );
  for (const [role, text] of [
    ['switch', SWITCH],
    ['switch', SWITCH.replace('table: memory', 'table: "rediss://u:p%40ss@[::1]:1/2"\ngroup: g1')],
    [
      'switch',
      SWITCH.replace('table: memory', 'table: redis+sentinel://a,b:1/m\nredis: { user: u, ca: /x }'),
    ],
    ['switch', `${SWITCH}control: { listen: "[::1]:7000" }\nadmin: unix:/tmp/x.sock\n`],
    ['shell', SHELL],
    ['shell', after],
    ['shell', OUTBOUND],
    ['shell', `${SHELL}timers: { keepalive: off }\ndiscovery: { port: 4000 }\n`],
    ['shell', `${SHELL}timers: { keepalive: 90 }\n`],
    ['core', CORE],
    ['core', CORE.replace('10.201.2.1:57626', 'discover')],
    ['core', `${CORE}calls: [10.201.2.2:1080]\n`],
    ['core', `${CORE}calls: []\n`],
  ] as const) {
    const config = parseConfig(role, 'f.yaml', text, { hostPorts });
    t.strictSame(parseConfig(role, 'printed', printConfig(role, config), { hostPorts }), config);
  }
  t.match(printConfig('switch', parseConfig('switch', 'f', SWITCH)), 'idle: 2h4m');
});

const cases: [Role, string, string, string][] = [
  ['switch', 'name: s1', 'name: s 1', 'f.yaml:1: name: found "s 1", expected a name of 1 to 63 letters'],
  ['switch', 'name: s1\n', '', 'f.yaml:1: name: found nothing, expected a name of'],
  ['switch', 'auth: { mode: none }\n', '', 'auth: found nothing, expected { mode: none }, written out'],
  [
    'switch',
    'mode: none',
    'mode: mtls',
    'f.yaml:3: auth.mode: found "mtls", expected none; mtls is not supported in this version',
  ],
  ['switch', 'mode: none', 'mode: psk', 'expected none; psk is not supported in this version'],
  ['switch', 'mode: none', 'mode: nope', 'f.yaml:3: auth.mode: found "nope", expected none'],
  [
    'switch',
    'mode: none',
    'mode: none, key: 1',
    'f.yaml:3: auth.key: found an unknown key, expected one of the keys mode',
  ],
  [
    'switch',
    'table: memory',
    'tabel: memory',
    'f.yaml:4: tabel: found an unknown key, expected one of the keys name, interfaces',
  ],
  [
    'switch',
    'table: memory',
    'table: redis://u:se/cr@t@h:1/0',
    'f.yaml:4: table: found "redis://…@h:1/0", expected HOST:PORT, "[ADDRESS]:PORT" for IPv6',
  ],
  [
    'switch',
    'table: memory',
    'table: mysql://h',
    'table: found "mysql://h", expected memory, or redis://HOST:PORT/DB',
  ],
  [
    'switch',
    'table: memory',
    'table: redis+cluster://h/3',
    'table: found "redis+cluster://h/3", expected no database: a cluster has only number 0',
  ],
  ['switch', 'table: memory', 'group: "{g}"', 'group: found "{g}", expected a name of 1 to 63 letters'],
  ['switch', 'table: memory', 'durability: none', 'found "none", expected one of strict, relaxed'],
  [
    'switch',
    'table: memory',
    'redis: { password: 1234 }',
    'redis.password: found a value that is not shown, expected a text; one of digits needs quotes',
  ],
  [
    'switch',
    'table: memory',
    'scaleOut: true',
    'scaleOut: found true, expected false, or `standby: true` beside it',
  ],
  [
    'switch',
    'dataplane: auto',
    'dataplane: userspace\nscaleOut: true',
    'scaleOut: found true, expected false, or the kernel data path',
  ],
  ['switch', 'table: memory', 'redis: { queue: 0 }', 'redis.queue: found 0, expected a whole number from 1'],
  [
    'switch',
    'table: memory',
    'redis: { url: x }',
    'redis.url: found an unknown key, expected one of the keys user',
  ],
  [
    'switch',
    'dataplane: auto',
    'dataplane: ebpf',
    'f.yaml:5: dataplane: found "ebpf", expected one of auto, kernel, userspace',
  ],
  [
    'switch',
    '[to-e, to-a, to-b]',
    '[]',
    'f.yaml:2: interfaces: found an empty list, expected a list of at least one interface',
  ],
  [
    'switch',
    '[to-e, to-a, to-b]',
    'to-e',
    'f.yaml:2: interfaces: found "to-e", expected a list of interfaces',
  ],
  [
    'switch',
    '[to-e, to-a, to-b]',
    '[to-e, to-e]',
    'interfaces[1]: found "to-e", expected an interface that is named once',
  ],
  [
    'switch',
    'to-a,',
    'much-too-long-name,',
    'interfaces[1]: found "much-too-long-name", expected the name of a network interface',
  ],
  [
    'switch',
    'to-a,',
    '10.201.2.0/33,',
    'interfaces[1]: found "10.201.2.0/33", expected the name of a network interface (1 to 15 characters), or a prefix',
  ],
  [
    'switch',
    'role: shell',
    'role: shel',
    'f.yaml:7: agents[0].role: found "shel", expected one of shell, core',
  ],
  [
    'switch',
    '[10.201.3.2,',
    '[10.201.3.256,',
    'f.yaml:8: agents[1].addresses[0]: found "10.201.3.256", expected an IPv4 or IPv6 address',
  ],
  [
    'switch',
    '[10.201.3.2,',
    '[10.201.2.2,',
    'agents[1].addresses[0]: found "10.201.2.2", expected an address of one agent only (a1 has it already)',
  ],
  ['switch', 'name: b1', 'name: a1', 'agents[1].name: found "a1", expected a name that no other agent has'],
  [
    'switch',
    'dataplane: auto',
    'control: { listen: "57626" }',
    'control.listen: found "57626", expected ADDRESS:PORT',
  ],
  [
    'switch',
    'dataplane: auto',
    'control: yes please',
    'control: found "yes please", expected a mapping with listen',
  ],
  ['switch', 'dataplane: auto', 'discovery: { port: 0 }', 'discovery.port: found 0, expected a port number'],
  ['switch', 'dataplane: auto', 'admin: run/s.sock', 'admin: found "run/s.sock", expected unix:/PATH'],
  [
    'switch',
    'dataplane: auto',
    'timers: { idle: 5 minutes }',
    'timers.idle: found "5 minutes", expected a duration such as 500ms',
  ],
  [
    'switch',
    'dataplane: auto',
    'timers: { idle: 0s }',
    'timers.idle: found "0s", expected a duration such as 500ms',
  ],
  [
    'switch',
    'dataplane: auto',
    'clampCap: 1k',
    'clampCap: found "1k", expected a number of bytes, or a size such as 64k, 1M or 2G (powers of 1024), from 4k to 1G',
  ],
  [
    'switch',
    'dataplane: auto',
    'limits: { agents: 1.5 }',
    'limits.agents: found 1.5, expected a whole number from 1 to 100000',
  ],
  [
    'switch',
    'dataplane: auto',
    'log: { level: loud }',
    'log.level: found "loud", expected one of trace, debug',
  ],
  [
    'shell',
    'switch: discover',
    'switch: somewhere',
    'f.yaml:2: switch: found "somewhere", expected discover, or HOST:PORT',
  ],
  ['shell', 'switch: discover', 'switch: 10.0.0.300:1', 'switch: found "10.0.0.300:1", expected discover'],
  ['shell', '20000-29999', '80-29999', 'f.yaml:4: ports: found "80-29999", expected FROM-TO with 1024'],
  ['shell', '20000-29999', '30000-29999', 'ports: found "30000-29999", expected FROM-TO'],
  ['shell', '20000-29999', '20000-65536', 'ports: found "20000-65536", expected FROM-TO'],
  ['shell', '20000-29999', '20000', 'ports: found 20000, expected FROM-TO'],
  [
    'shell',
    '20000-29999',
    '30000-39999',
    'ports: found "30000-39999", expected ports that the kernel does not hand out by itself: 32768-39999 lies in net.ipv4.ip_local_port_range (32768-60999); choose others, or run `sysctl -w net.ipv4.ip_local_reserved_ports=30000-39999`',
  ],
  [
    'shell',
    '20000-29999',
    '8000-9000',
    'routes[0].listen: found "10.201.2.2:8080", expected a port outside the reserved ports 8000-9000',
  ],
  [
    'shell',
    'via: tcp',
    'via: link',
    'f.yaml:1: link: found nothing, expected a mapping with auth, since routes[0] has via: link',
  ],
  ['shell', 'via: tcp', 'via: wire', 'f.yaml:8: routes[0].via: found "wire", expected one of tcp, link'],
  ['shell', 'via: tcp', 'move: now', 'routes[0].move: found "now", expected this key only with via: link'],
  [
    'shell',
    'via: tcp',
    'link: 10.201.3.2:9',
    'routes[0].link: found "10.201.3.2:9", expected this key only with via: link',
  ],
  [
    'shell',
    'core: 10.201.3.2:8080\n    via: tcp',
    'peer: 10.201.3.2:8080\n    via: link',
    'routes[0].via: found "link", expected tcp (link only with core)',
  ],
  [
    'shell',
    'via: tcp\n    stitch: now',
    'via: link\n    stitch: { after: { packets: 9 } }',
    'routes[0].move: found nothing, expected now, never, or conditions without packets',
  ],
  [
    'shell',
    'via: tcp',
    'via: link\n    move: { after: { packets: 9 } }',
    'routes[0].move: found a mapping, expected conditions without packets',
  ],
  [
    'shell',
    'ports:',
    'link: { auth: { mode: psk, key: short } }\nports:',
    'f.yaml:4: link.auth.key: found a value that is not shown, expected a secret of at least 16 characters',
  ],
  [
    'shell',
    'ports:',
    'link: { auth: { mode: tls } }\nports:',
    'f.yaml:4: link.auth.mode: found "tls", expected { mode: psk, key: … } or { mode: none }, written out',
  ],
  [
    'core',
    'offers:',
    'deliver: 127.0.0.1:80\noffers:',
    'link: found nothing, expected a mapping with listen',
  ],
  [
    'core',
    'offers:',
    'link: { listen: 10.201.3.2:57628, auth: { mode: none } }\noffers:',
    'deliver: found nothing, expected ADDRESS:PORT of a local server, since there is a link',
  ],
  [
    'core',
    'offers:',
    'deliver: 10.201.3.2:8080\nlink: { listen: 10.201.3.2:57628, auth: { mode: none } }\noffers:',
    'deliver: found "10.201.3.2:8080", expected an endpoint that is not offered',
  ],
  [
    'core',
    'offers:',
    'deliver: 127.0.0.1:80\nlink: { listen: 10.201.3.2:8080, auth: { mode: none } }\noffers:',
    'link.listen: found "10.201.3.2:8080", expected an endpoint that is not offered',
  ],
  [
    'core',
    'offers:',
    'deliver: 127.0.0.1:80\nlink: { listen: 10.201.3.2:9, auth: { mode: none }, move: { after: {} } }\noffers:',
    'link.move.after: found a mapping, expected at least one of bytes, age',
  ],
  [
    'shell',
    'teardown: core',
    'teardown: later',
    'routes[0].teardown: found "later", expected one of core, control, shell, both',
  ],
  [
    'shell',
    'listen: 10.201.2.2:8080',
    'listen: 10.201.2.2',
    'f.yaml:6: routes[0].listen: found "10.201.2.2", expected ADDRESS:PORT',
  ],
  [
    'shell',
    'listen: 10.201.2.2:8080',
    'listen: "*:8080"',
    'routes[0].listen: found "*:8080", expected ADDRESS:PORT',
  ],
  [
    'shell',
    'stitch: now',
    'stitch: later',
    'f.yaml:9: routes[0].stitch: found "later", expected now, never, or { after:',
  ],
  [
    'shell',
    'stitch: now',
    'stitch: { afer: { bytes: 1 } }',
    'f.yaml:9: routes[0].stitch.afer: found an unknown key, expected one of the keys after',
  ],
  [
    'shell',
    'stitch: now',
    'stitch: { after: {} }',
    'routes[0].stitch.after: found a mapping, expected at least one of bytes',
  ],
  [
    'shell',
    'stitch: now',
    'stitch: { after: { age: soon } }',
    'routes[0].stitch.after.age: found "soon", expected a duration',
  ],
  [
    'shell',
    'stitch: now',
    'stitch: { after: { bits: 1 } }',
    'routes[0].stitch.after.bits: found an unknown key, expected one of the keys bytes, age',
  ],
  [
    'shell',
    'stitch: now',
    'stitch: { after: { shellLoad: 2 } }',
    'routes[0].stitch.after.shellLoad: found 2, expected a number from 0 to 1',
  ],
  [
    'shell',
    '    core: 10.201.3.2:8080\n',
    '',
    'routes[0].core: found nothing, expected ADDRESS:PORT of a core, or else the key peer or socks5',
  ],
  [
    'shell',
    'via: tcp',
    'peer: 10.201.1.2:80',
    'f.yaml:8: routes[0].peer: found "10.201.1.2:80", expected a route with one of core, peer and socks5 (it has core)',
  ],
  [
    'shell',
    'core: 10.201.3.2:8080',
    'socks5: true',
    'routes[0].allow: found nothing, expected a list of destinations that may be reached, such as [10.0.0.0/8:443',
  ],
  [
    'shell',
    'core: 10.201.3.2:8080',
    'socks5: yes',
    'routes[0].socks5: found "yes", expected true, or { users: [{ user, password }] }',
  ],
  [
    'shell',
    'core: 10.201.3.2:8080',
    'socks5: { users: [] }',
    'routes[0].socks5.users: found an empty list, expected a list of at least one user',
  ],
  [
    'shell',
    'core: 10.201.3.2:8080',
    `socks5: { users: [{ user: a, password: "${'geheim'.repeat(50)}" }] }`,
    'routes[0].socks5.users[0].password: found a value that is not shown, expected a password of 0 to 255 bytes',
  ],
  [
    'shell',
    'via: tcp',
    'allow: ["*:*"]',
    'routes[0].allow: found a list, expected this key only with socks5',
  ],
  ...[
    '10.0.0.0/33:1',
    '10.0.0.0/8',
    '10.0.0.1:0',
    '10.0.0.1:2-1',
    '10.0.0.1:65536',
    '[10.0.0.1]:1',
    'fd00::1:1',
    'a..b:1',
    '*.*.a:1',
    'a*:1',
    ':1',
  ].map((rule): [Role, string, string, string] => [
    'shell',
    'core: 10.201.3.2:8080',
    `socks5: true\n    allow: ["${rule}"]`,
    `routes[0].allow[0]: found "${rule}", expected HOST:PORTS`,
  ]),
  [
    'shell',
    'via: tcp',
    'from: [10.0.0.0/40]',
    'routes[0].from[0]: found "10.0.0.0/40", expected an address, or a prefix',
  ],
  [
    'shell',
    'via: tcp',
    'from: []',
    'routes[0].from: found an empty list, expected a list of at least one address or prefix',
  ],
  ['core', 'offers:', 'offer:', 'offers: found nothing, expected a list of endpoints'],
  [
    'core',
    '10.201.3.2:8080,',
    '10.201.3.2:8080, 10.201.3.2:8080,',
    'offers[1]: found "10.201.3.2:8080", expected an endpoint that is offered once',
  ],
  [
    'core',
    '[10.201.3.2:8080, "[fd00:201:3::2]:8080"]',
    '[]',
    'offers: found an empty list, expected a list of at least one endpoint (of none only where calls is written out)',
  ],
  [
    'core',
    '[10.201.3.2:8080, "[fd00:201:3::2]:8080"]',
    '[]\ncalls: []',
    'calls: found an empty list, expected any or a list of at least one endpoint, since offers is empty',
  ],
  [
    'core',
    'name: b1',
    'name: b1\ncalls: all',
    'calls: found "all", expected any, or a list of shells\' endpoints',
  ],
  ['core', 'name: b1', 'name: b1\ncalls: [a]', 'calls[0]: found "a", expected ADDRESS:PORT'],
  ['shell', 'via: tcp', 'prepend: proxy-v1', 'routes[0].prepend: found "proxy-v1", expected one of proxy-v2'],
  [
    'shell',
    'core: 10.201.3.2:8080',
    'peer: 10.201.1.2:80\n    prepend: proxy-v2',
    'routes[0].prepend: found "proxy-v2", expected this key only with core',
  ],
  [
    'shell',
    '    teardown: core\n',
    '  - { listen: 10.201.2.2:8080, core: 10.201.3.2:8081 }\n',
    'f.yaml:10: routes[1].listen: found "10.201.2.2:8080", expected an endpoint that no other route without match listens on',
  ],
  [
    'shell',
    '    teardown: core\n',
    '  - { listen: 10.201.2.2:8080, peer: 10.201.1.2:80 }\n',
    'routes[1].listen: found "10.201.2.2:8080", expected an endpoint that no other route listens on',
  ],
  [
    'shell',
    '    teardown: core\n',
    '  - { listen: 10.201.2.2:8080, core: 10.201.3.2:8081, match: { sni: [a.org, B.org] } }\n' +
      '  - { listen: 10.201.2.2:8080, core: 10.201.3.2:8082, match: { host: [a.org], sni: [c.org, b.org] } }\n',
    'routes[2].match.sni[1]: found "b.org", expected a name that routes[1] does not have',
  ],
  ['shell', 'via: tcp', 'match: {}', 'routes[0].match: found a mapping, expected at least one of sni, host'],
  [
    'shell',
    'via: tcp',
    'match: { sni: [] }',
    'routes[0].match.sni: found an empty list, expected a list of at least',
  ],
  ...['a b', '*', 'a.*.b', '10.0.0.1', 'a:80'].map((name): [Role, string, string, string] => [
    'shell',
    'via: tcp',
    `match: { sni: ["${name}"] }`,
    `routes[0].match.sni[0]: found "${name}", expected a host name, or *. and a name`,
  ]),
  [
    'shell',
    'core: 10.201.3.2:8080',
    'peer: 10.201.1.2:80\n    match: { sni: [a.org] }',
    'routes[0].match: found a mapping, expected this key only with core',
  ],
  ...['25:00-26:00', '08:00', '08:00-08:00'].map((window): [Role, string, string, string] => [
    'shell',
    'stitch: now',
    `stitch: { after: { timeOfDay: "${window}" } }`,
    `routes[0].stitch.after.timeOfDay: found "${window}", expected HH:MM-HH:MM, such as`,
  ]),
  [
    'shell',
    'stitch: now',
    'stitch: { after: { type: [tls, "a b"] } }',
    'routes[0].stitch.after.type[1]: found "a b", expected one of plain, tls, http, socks5, or a host name',
  ],
  [
    'shell',
    'stitch: now',
    'stitch: { after: { type: [] } }',
    'type: found an empty list, expected a list of at least one',
  ],
  ...['500ms', '10h', 'never', 0].map((time): [Role, string, string, string] => [
    'shell',
    'switch: discover',
    `timers: { keepalive: ${time} }`,
    'timers.keepalive: found ',
  ]),
  [
    'shell',
    'switch: discover',
    'timers: { keepalive: 1ms }',
    'expected off, or a duration such as 500ms, 10s, 2m or 2h4m, or a number of seconds, from 1s to 9h6m7s',
  ],
  ['core', 'name: b1', 'name: b1\ndiscovery: { port: 0 }', 'discovery.port: found 0, expected a port number'],
  ['core', '"[fd00:201:3::2]:8080"', '[fd00:201:3::2]:8080', 'not valid YAML'],
  ['core', 'name: b1', 'name: b1\nname: b2', 'f.yaml:2: not valid YAML'],
];

t.test('what is wrong is named with its place, what was found and what is expected', async (t) => {
  const texts: Record<Role, string> = { switch: SWITCH, shell: SHELL, core: CORE };
  for (const [role, from, to, expected] of cases) {
    const text = texts[role].replace(from, () => to);
    t.not(text, texts[role], `the case changes the config: ${from}`);
    t.match(complaint(role, text), expected);
  }
});

t.test('files that are no mapping', async (t) => {
  for (const [text, expected] of [
    ['', 'f.yaml: found an empty file, expected a mapping'],
    ['just text', 'f.yaml:1: the whole file: found "just text", expected a mapping with name'],
    ['- a\n', 'f.yaml:1: the whole file: found a list, expected a mapping'],
    ['a: 1\n---\nb: 2\n', 'found 2 YAML documents, expected one'],
  ] as const) {
    t.match(complaint('core', text), expected);
  }
});

t.test('all the problems are told at once, in the order of the keys', async (t) => {
  const text = SWITCH.replace('to-a,', '17,').replace('role: core', 'role: nut').replace('auto', 'automatic');
  const told = complaint('switch', `${text}colour: red\n`).split('\n');
  t.equal(told[0], '4 problems:');
  t.same(
    told
      .slice(1)
      .map((line) => line.split(':')[2]?.trim())
      .sort(),
    ['agents[1].role', 'colour', 'dataplane', 'interfaces[1]'],
  );
});

t.test('reserved ports of the kernel do not count as handed out', async (t) => {
  const kept = { ...hostPorts, reserved: [{ from: 30000, to: 39999 }] };
  const text = SHELL.replace('20000-29999', '30000-39999');
  t.strictSame(parseConfig('shell', 'f.yaml', text, { hostPorts: kept }).ports, { from: 30000, to: 39999 });
  t.ok(parseConfig('shell', 'f.yaml', text, { hostPorts: undefined }), 'unknown facts forbid nothing');
});

t.test('files are read from disk', async (t) => {
  const directory = t.testdir({ 'core.yaml': CORE });
  const file = join(directory, 'core.yaml');
  t.equal(loadConfig('core', file).name, 'b1');
  t.throws(() => loadConfig('core', join(directory, 'none.yaml')), {
    code: 'SUT_CONFIG_UNREADABLE',
    message: /none\.yaml could not be read \(ENOENT/,
  });
});
