import t from 'tap';
import { parseConfig } from '../../../src/platform/config/index.js';
import { complains, hostPorts, SHELL } from './configs.js';

t.test('the smallest useful config gets its defaults', async (t) => {
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
});

t.test('what is wrong is named with its place, what was found and what is expected', async (t) => {
  complains(t, 'shell', 'switch: discover', [
    ['switch: somewhere', 'f.yaml:2: switch: found "somewhere", expected discover, or HOST:PORT'],
    ['switch: 10.0.0.300:1', 'switch: found "10.0.0.300:1", expected discover'],
  ]);
  complains(t, 'shell', '20000-29999', [
    ['80-29999', 'f.yaml:4: ports: found "80-29999", expected FROM-TO with 1024'],
    ['30000-29999', 'ports: found "30000-29999", expected FROM-TO'],
    ['20000-65536', 'ports: found "20000-65536", expected FROM-TO'],
    ['20000', 'ports: found 20000, expected FROM-TO'],
    [
      '30000-39999',
      'ports: found "30000-39999", expected ports that the kernel does not hand out by itself: 32768-39999 lies in net.ipv4.ip_local_port_range (32768-60999); choose others, or run `sysctl -w net.ipv4.ip_local_reserved_ports=30000-39999`',
    ],
    [
      '8000-9000',
      'routes[0].listen: found "10.201.2.2:8080", expected a port outside the reserved ports 8000-9000',
    ],
  ]);
  complains(t, 'shell', 'via: tcp', [
    [
      'via: link',
      'f.yaml:1: link: found nothing, expected a mapping with auth, since routes[0] has via: link',
    ],
  ]);
  complains(t, 'shell', 'ports:', [
    [
      'link: { auth: { mode: psk } }\nports:',
      'f.yaml:4: link.auth.key: found nothing, expected a secret of at least 16 characters',
    ],
    [
      'link: { auth: { mode: psk, key: short } }\nports:',
      'f.yaml:4: link.auth.key: found a value that is not shown, expected a secret of at least 16 characters',
    ],
    [
      'link: { auth: { mode: tls } }\nports:',
      'f.yaml:4: link.auth.mode: found "tls", expected { mode: psk, key: … } or { mode: none }, written out',
    ],
  ]);
});

t.test('reserved ports of the kernel do not count as handed out', async (t) => {
  const kept = { ...hostPorts, reserved: [{ from: 30000, to: 39999 }] };
  const text = SHELL.replace('20000-29999', '30000-39999');
  t.strictSame(parseConfig('shell', 'f.yaml', text, { hostPorts: kept }).ports, { from: 30000, to: 39999 });
  t.ok(parseConfig('shell', 'f.yaml', text, { hostPorts: undefined }), 'unknown facts forbid nothing');
});
