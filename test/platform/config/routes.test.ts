/** The shell's routes. */
import t from 'tap';
import { parseConfig } from '../../../src/platform/config/index.js';
import { complains, hostPorts, OUTBOUND, SHELL } from './configs.js';

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

t.test('what is wrong is named with its place, what was found and what is expected', async (t) => {
  complains(t, 'shell', 'via: tcp', [
    ['via: wire', 'f.yaml:8: routes[0].via: found "wire", expected one of tcp, link'],
    ['move: now', 'routes[0].move: found "now", expected this key only with via: link'],
    ['link: 10.201.3.2:9', 'routes[0].link: found "10.201.3.2:9", expected this key only with via: link'],
    [
      'via: link\n    move: { after: { packets: 9 } }',
      'routes[0].move: found a mapping, expected conditions without packets',
    ],
    [
      'peer: 10.201.1.2:80',
      'f.yaml:8: routes[0].peer: found "10.201.1.2:80", expected a route with one of core, peer and socks5 (it has core)',
    ],
    ['allow: ["*:*"]', 'routes[0].allow: found a list, expected this key only with socks5'],
    ['from: [10.0.0.0/40]', 'routes[0].from[0]: found "10.0.0.0/40", expected an address, or a prefix'],
    ['from: []', 'routes[0].from: found an empty list, expected a list of at least one address or prefix'],
    ['prepend: proxy-v1', 'routes[0].prepend: found "proxy-v1", expected one of proxy-v2'],
    ['match: {}', 'routes[0].match: found a mapping, expected at least one of sni, host'],
    ['match: { sni: [] }', 'routes[0].match.sni: found an empty list, expected a list of at least'],
  ]);
  complains(t, 'shell', 'core: 10.201.3.2:8080\n    via: tcp', [
    [
      'peer: 10.201.3.2:8080\n    via: link',
      'routes[0].via: found "link", expected tcp (link only with core)',
    ],
  ]);
  complains(t, 'shell', 'via: tcp\n    stitch: now', [
    [
      'via: link\n    stitch: { after: { packets: 9 } }',
      'routes[0].move: found nothing, expected now, never, or conditions without packets',
    ],
  ]);
  complains(t, 'shell', 'teardown: core', [
    ['teardown: later', 'routes[0].teardown: found "later", expected one of core, control, shell, both'],
  ]);
  complains(t, 'shell', 'listen: 10.201.2.2:8080', [
    ['listen: 10.201.2.2', 'f.yaml:6: routes[0].listen: found "10.201.2.2", expected ADDRESS:PORT'],
    ['listen: "*:8080"', 'routes[0].listen: found "*:8080", expected ADDRESS:PORT'],
  ]);
  complains(t, 'shell', 'stitch: now', [
    ['stitch: later', 'f.yaml:9: routes[0].stitch: found "later", expected now, never, or { after:'],
    [
      'stitch: { afer: { bytes: 1 } }',
      'f.yaml:9: routes[0].stitch.afer: found an unknown key, expected one of the keys after',
    ],
    ['stitch: { after: {} }', 'routes[0].stitch.after: found a mapping, expected at least one of bytes'],
    ['stitch: { after: { age: soon } }', 'routes[0].stitch.after.age: found "soon", expected a duration'],
    [
      'stitch: { after: { bits: 1 } }',
      'routes[0].stitch.after.bits: found an unknown key, expected one of the keys bytes, age',
    ],
    [
      'stitch: { after: { shellLoad: 2 } }',
      'routes[0].stitch.after.shellLoad: found 2, expected a number from 0 to 1',
    ],
    [
      'stitch: { after: { type: [tls, "a b"] } }',
      'routes[0].stitch.after.type[1]: found "a b", expected one of plain, tls, http, socks5, or a host name',
    ],
    ['stitch: { after: { type: [] } }', 'type: found an empty list, expected a list of at least one'],
  ]);
  complains(t, 'shell', '    core: 10.201.3.2:8080\n', [
    ['', 'routes[0].core: found nothing, expected ADDRESS:PORT of a core, or else the key peer or socks5'],
  ]);
  complains(t, 'shell', 'core: 10.201.3.2:8080', [
    [
      'socks5: true',
      'routes[0].allow: found nothing, expected a list of destinations that may be reached, such as [10.0.0.0/8:443',
    ],
    ['socks5: yes', 'routes[0].socks5: found "yes", expected true, or { users: [{ user, password }] }'],
    [
      'socks5: { users: [] }',
      'routes[0].socks5.users: found an empty list, expected a list of at least one user',
    ],
    [
      `socks5: { users: [{ user: a, password: "${'geheim'.repeat(50)}" }] }`,
      'routes[0].socks5.users[0].password: found a value that is not shown, expected a password of 0 to 255 bytes',
    ],
    [
      'peer: 10.201.1.2:80\n    prepend: proxy-v2',
      'routes[0].prepend: found "proxy-v2", expected this key only with core',
    ],
    [
      'peer: 10.201.1.2:80\n    match: { sni: [a.org] }',
      'routes[0].match: found a mapping, expected this key only with core',
    ],
  ]);
  complains(t, 'shell', '    teardown: core\n', [
    [
      '  - { listen: 10.201.2.2:8080, core: 10.201.3.2:8081 }\n',
      'f.yaml:10: routes[1].listen: found "10.201.2.2:8080", expected an endpoint that no other route without match listens on',
    ],
    [
      '  - { listen: 10.201.2.2:8080, peer: 10.201.1.2:80 }\n',
      'routes[1].listen: found "10.201.2.2:8080", expected an endpoint that no other route listens on',
    ],
    [
      '  - { listen: 10.201.2.2:8080, core: 10.201.3.2:8081, match: { sni: [a.org, B.org] } }\n  - { listen: 10.201.2.2:8080, core: 10.201.3.2:8082, match: { host: [a.org], sni: [c.org, b.org] } }\n',
      'routes[2].match.sni[1]: found "b.org", expected a name that routes[1] does not have',
    ],
  ]);
});

t.test('so are rules, names and times that are none', async (t) => {
  const rules = [
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
  ];
  complains(
    t,
    'shell',
    'core: 10.201.3.2:8080',
    rules.map((rule) => [
      `socks5: true\n    allow: ["${rule}"]`,
      `routes[0].allow[0]: found "${rule}", expected HOST:PORTS`,
    ]),
  );
  const names = ['a b', '*', 'a.*.b', '10.0.0.1', 'a:80'];
  complains(
    t,
    'shell',
    'via: tcp',
    names.map((name) => [
      `match: { sni: ["${name}"] }`,
      `routes[0].match.sni[0]: found "${name}", expected a host name, or *. and a name`,
    ]),
  );
  const windows = ['25:00-26:00', '08:00', '08:00-08:00'];
  complains(
    t,
    'shell',
    'stitch: now',
    windows.map((window) => [
      `stitch: { after: { timeOfDay: "${window}" } }`,
      `routes[0].stitch.after.timeOfDay: found "${window}", expected HH:MM-HH:MM, such as`,
    ]),
  );
});
