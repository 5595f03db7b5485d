import t from 'tap';
import { parseConfig } from '../../../src/platform/config/index.js';
import { complains, complaint, SWITCH } from './configs.js';

t.test('the smallest useful config gets its defaults', async (t) => {
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
    redis: { timeout: 1_000, lease: 1_000, queue: 100_000, events: 10_000 },
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
});

t.test('what is wrong is named with its place, what was found and what is expected', async (t) => {
  complains(t, 'switch', 'name: s1', [
    ['name: s 1', 'f.yaml:1: name: found "s 1", expected a name of 1 to 63 letters'],
  ]);
  complains(t, 'switch', 'name: s1\n', [['', 'f.yaml:1: name: found nothing, expected a name of']]);
  complains(t, 'switch', 'auth: { mode: none }\n', [
    ['', 'auth: found nothing, expected { mode: none }, written out'],
  ]);
  complains(t, 'switch', 'mode: none', [
    ['mode: mtls', 'f.yaml:3: auth.mode: found "mtls", expected none; mtls is not supported in this version'],
    ['mode: psk', 'expected none; psk is not supported in this version'],
    ['mode: nope', 'f.yaml:3: auth.mode: found "nope", expected none'],
    ['mode: none, key: 1', 'f.yaml:3: auth.key: found an unknown key, expected one of the keys mode'],
  ]);
  complains(t, 'switch', 'table: memory', [
    ['scaleOut: true', 'scaleOut: found true, expected false, or `standby: true` beside it'],
    ['tabel: memory', 'f.yaml:4: tabel: found an unknown key, expected one of the keys name, interfaces'],
    [
      'table: redis://u:se/cr@t@h:1/0',
      'f.yaml:4: table: found "redis://…@h:1/0", expected HOST:PORT, "[ADDRESS]:PORT" for IPv6',
    ],
    ['table: mysql://h', 'table: found "mysql://h", expected memory, or redis://HOST:PORT/DB'],
    [
      'table: redis+cluster://h/3',
      'table: found "redis+cluster://h/3", expected no database: a cluster has only number 0',
    ],
    ['group: "{g}"', 'group: found "{g}", expected a name of 1 to 63 letters'],
    ['durability: none', 'found "none", expected one of strict, relaxed'],
    [
      'redis: { password: 1234 }',
      'redis.password: found a value that is not shown, expected a text; one of digits needs quotes',
    ],
    ['redis: { queue: 0 }', 'redis.queue: found 0, expected a whole number from 1'],
    ['redis: { url: x }', 'redis.url: found an unknown key, expected one of the keys user'],
  ]);
  complains(t, 'switch', 'dataplane: auto', [
    ['dataplane: userspace\nscaleOut: true', 'scaleOut: found true, expected false, or the kernel data path'],
    ['dataplane: ebpf', 'f.yaml:5: dataplane: found "ebpf", expected one of auto, kernel, userspace'],
  ]);
  complains(t, 'switch', '[to-e, to-a, to-b]', [
    ['[]', 'f.yaml:2: interfaces: found an empty list, expected a list of at least one interface'],
    ['to-e', 'f.yaml:2: interfaces: found "to-e", expected a list of interfaces'],
    ['[to-e, to-e]', 'interfaces[1]: found "to-e", expected an interface that is named once'],
  ]);
  complains(t, 'switch', 'to-a,', [
    [
      'much-too-long-name,',
      'interfaces[1]: found "much-too-long-name", expected the name of a network interface',
    ],
    [
      '10.201.2.0/33,',
      'interfaces[1]: found "10.201.2.0/33", expected the name of a network interface (1 to 15 characters), or a prefix',
    ],
  ]);
  complains(t, 'switch', 'role: shell', [
    ['role: shel', 'f.yaml:7: agents[0].role: found "shel", expected one of shell, core'],
  ]);
  complains(t, 'switch', '[10.201.3.2,', [
    [
      '[10.201.3.256,',
      'f.yaml:8: agents[1].addresses[0]: found "10.201.3.256", expected an IPv4 or IPv6 address',
    ],
    [
      '[10.201.2.2,',
      'agents[1].addresses[0]: found "10.201.2.2", expected an address of one agent only (a1 has it already)',
    ],
  ]);
  complains(t, 'switch', 'name: b1', [
    ['name: a1', 'agents[1].name: found "a1", expected a name that no other agent has'],
  ]);
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
