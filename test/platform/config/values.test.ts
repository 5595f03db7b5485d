/** Values of any role: how they are read, printed and refused. */
import t from 'tap';
import { parseConfig, printConfig } from '../../../src/platform/config/index.js';
import { CORE, complains, hostPorts, OUTBOUND, SHELL, SWITCH } from './configs.js';

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

t.test('what is wrong is named with its place, what was found and what is expected', async (t) => {
  complains(t, 'switch', 'dataplane: auto', [
    ['control: { listen: "57626" }', 'control.listen: found "57626", expected ADDRESS:PORT'],
    ['control: yes please', 'control: found "yes please", expected a mapping with listen'],
    ['discovery: { port: 0 }', 'discovery.port: found 0, expected a port number'],
    ['admin: run/s.sock', 'admin: found "run/s.sock", expected unix:/PATH'],
    ['timers: { idle: 5 minutes }', 'timers.idle: found "5 minutes", expected a duration such as 500ms'],
    ['timers: { idle: 0s }', 'timers.idle: found "0s", expected a duration such as 500ms'],
    [
      'clampCap: 1k',
      'clampCap: found "1k", expected a number of bytes, or a size such as 64k, 1M or 2G (powers of 1024), from 4k to 1G',
    ],
    ['limits: { agents: 1.5 }', 'limits.agents: found 1.5, expected a whole number from 1 to 100000'],
    ['log: { level: loud }', 'log.level: found "loud", expected one of trace, debug'],
  ]);
  complains(t, 'shell', 'switch: discover', [
    [
      'timers: { keepalive: 1ms }',
      'expected off, or a duration such as 500ms, 10s, 2m or 2h4m, or a number of seconds, from 1s to 9h6m7s',
    ],
  ]);
  complains(t, 'core', 'name: b1', [
    ['name: b1\ndiscovery: { port: 0 }', 'discovery.port: found 0, expected a port number'],
  ]);
  complains(
    t,
    'shell',
    'switch: discover',
    ['500ms', '10h', 'never', 0].map((time) => [
      `timers: { keepalive: ${time} }`,
      'timers.keepalive: found ',
    ]),
  );
});
