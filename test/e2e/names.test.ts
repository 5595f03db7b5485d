/**
 * Three names behind one address of the shell, each with a core of its own (an address, an agent, servers); TLS and
 * HTTP; all stitched.
 */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { addressOf, endpointOf, type RouteConfig } from '../../src/lab/stage.js';
import type { FlowDetail } from '../../src/switch/admin-protocol.js';
import { formatEndpoint } from '../../src/wire/endpoint.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';

const BYTES = 20_000_000;
const SEED = 11;
const FAMILIES = [4, 6] as const;
/** Of the shell. */
const TLS_PORT = 8443;
const HTTP_PORT = 8088;
const NAMES = ['one.example.org', 'two.example.org', 'deep.sub.example.org'] as const;
/** The fourth takes the rest. */
const PATTERNS = [['one.example.org'], ['two.example.org'], ['*.sub.example.org'], undefined] as const;
/** Of every core. */
const CORE_PORTS = { tls: 9443, http: 9080 } as const;
const CONTROL_PORT = 57_626;

function coreAddress(core: number, family: 4 | 6): string {
  return family === 4 ? `10.201.3.${2 + core}` : `fd00:201:3::${2 + core}`;
}

function coreEndpoint(core: number, kind: 'tls' | 'http', family: 4 | 6): string {
  return formatEndpoint({ address: coreAddress(core, family), port: CORE_PORTS[kind] });
}

const routes: RouteConfig[] = FAMILIES.flatMap((family) =>
  (['tls', 'http'] as const).flatMap((kind) =>
    PATTERNS.map((names, core) => ({
      listen: endpointOf('a', kind === 'tls' ? TLS_PORT : HTTP_PORT, family),
      core: coreEndpoint(core, kind, family),
      ...(names && { match: kind === 'tls' ? { sni: [...names] } : { host: [...names] } }),
    })),
  ),
);

t.test('routes by name', async (t) => {
  const rig = await Rig.up(t);
  const [key, cert] = [join(rig.folder, 'key.pem'), join(rig.folder, 'cert.pem')];
  const subject = [
    '-subj',
    '/CN=example.org',
    '-addext',
    `subjectAltName=${NAMES.map((name) => `DNS:${name}`).join()}`,
  ];
  const ecdsa = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  await rig.tool('b', ['openssl', 'req', '-x509', ...ecdsa, ...subject, '-keyout', key, '-out', cert]);
  const cores = PATTERNS.map((_, core) => core);
  // The first core's addresses are the host's own.
  const lines = cores.slice(1).flatMap((core) => {
    const [four, six] = [coreAddress(core, 4), coreAddress(core, 6)];
    return [`addr add ${four}/24 dev eth0`, `addr add ${six}/64 dev eth0`];
  });
  await rig.tool('b', ['ip', '-batch', '-'], `${lines.join('\n')}\n`);
  const names = cores.map((core) => `core-${core}`);
  const servers = FAMILIES.flatMap((family) => {
    const at = { hosts: cores.map((core) => coreAddress(core, family)), names };
    const ports = (kind: 'tls' | 'http') => cores.map(() => CORE_PORTS[kind]);
    return [
      rig.startClient('web-server', { ...at, ports: ports('tls'), key, cert }, { host: 'b' }),
      rig.startClient('web-server', { ...at, ports: ports('http') }, { host: 'b' }),
    ];
  });
  const agents = [
    { name: 'a1', role: 'shell', addresses: FAMILIES.map((family) => addressOf('a', family)) },
    ...cores.map((core) => ({
      name: `b${core + 1}`,
      role: 'core',
      addresses: FAMILIES.map((family) => coreAddress(core, family)),
    })),
  ];
  await rig.stage.startSwitch({ dataplane: TEST_DATAPLANE, agents });
  const shell = rig.stage.startShell(routes, { timers: { greeting: '2s' } });
  const agentsOfCores = cores.map((core) => {
    const offers = FAMILIES.flatMap((family) => [
      coreEndpoint(core, 'tls', family),
      coreEndpoint(core, 'http', family),
    ]);
    // On the switch's host, where the agent of any core may be.
    const config = { name: `b${core + 1}`, switch: `localhost:${CONTROL_PORT}` };
    return rig.stage.startCore(offers, config, 's');
  });
  await Promise.all([shell, ...agentsOfCores, ...servers.map((server) => server.report(0))]);

  /** curl in E with a name that leads to the shell; its standard output, and its own end of the connection. */
  async function curl(
    family: 4 | 6,
    url: string,
    name: string,
    port: number,
    args: readonly string[] = [],
  ): Promise<{ text: string; local: string; remote: string }> {
    const address = family === 4 ? addressOf('a', 4) : `[${addressOf('a', 6)}]`;
    const ends = '\n%{local_ip} %{local_port}';
    const argv = [
      'curl',
      '-sS',
      '--cacert',
      cert,
      '--resolve',
      `${name}:${port}:${address}`,
      '-w',
      ends,
      ...args,
      url,
    ];
    const said = await rig.tool('e', argv);
    const [text = '', last = ''] = [
      said.slice(0, said.lastIndexOf('\n')),
      said.slice(said.lastIndexOf('\n') + 1),
    ];
    const [ip = '', localPort = ''] = last.split(' ');
    const local = ip.includes(':') ? `[${ip}]:${localPort}` : `${ip}:${localPort}`;
    return { text, local, remote: `${address}:${port}` };
  }

  async function checkStitched(
    t: Test,
    ends: { local: string; remote: string },
    core: string,
  ): Promise<FlowDetail> {
    const flow = await rig.closed(ends);
    t.ok(flow.stitchedAt, 'it was stitched', { history: flow.history });
    t.equal(flow.inner.remote, core, 'to its own core');
    t.strictSame(flow.toShellStitched, { packets: 0, bytes: 0 });
    return flow;
  }

  const [made] = await rig.client<{ sha256: string }>('hash', { bytes: BYTES, seed: SEED });
  for (const family of FAMILIES) {
    for (const [kind, port] of [
      ['tls', TLS_PORT],
      ['http', HTTP_PORT],
    ] as const) {
      const scheme = kind === 'tls' ? 'https' : 'http';
      for (const [i, name] of NAMES.entries()) {
        await t.test(`IPv${family}: ${scheme}://${name}`, async (t) => {
          const base = `${scheme}://${name}:${port}`;
          t.equal((await curl(family, `${base}/who`, name, port)).text, `core-${i}`);
          const file = join(rig.folder, 'download');
          const url = `${base}/download?bytes=${BYTES}&seed=${SEED}`;
          const ends = await curl(family, url, name, port, ['-o', file]);
          const [hash] = (await rig.tool('e', ['sha256sum', file])).split(' ');
          t.equal(hash, made?.sha256, 'SHA-256');
          await checkStitched(t, ends, coreEndpoint(i, kind, family));
        });
      }
    }
  }

  await t.test('other names, and none, go to the rest', async (t) => {
    const other = ['-k'];
    t.equal(
      (await curl(4, `https://other.org:${TLS_PORT}/who`, 'other.org', TLS_PORT, other)).text,
      'core-3',
    );
    t.equal(
      (await curl(4, `https://sub.example.org:${TLS_PORT}/who`, 'sub.example.org', TLS_PORT, other)).text,
      'core-3',
    );
    const address = addressOf('a', 4);
    t.equal((await curl(4, `https://${address}:${TLS_PORT}/who`, 'x', TLS_PORT, other)).text, 'core-3');
    t.equal((await curl(4, `http://${address}:${HTTP_PORT}/who`, 'x', HTTP_PORT)).text, 'core-3');
  });

  await t.test('a hello in many segments', async (t) => {
    // 88 bytes of payload is as little as Linux lets an MSS be.
    await rig.tool('e', [
      'ip',
      'route',
      'replace',
      `${addressOf('a', 4)}/32`,
      'via',
      '10.201.1.1',
      'advmss',
      '88',
    ]);
    await rig.tool('a', [
      'ip',
      'route',
      'replace',
      `${addressOf('e', 4)}/32`,
      'via',
      '10.201.2.1',
      'advmss',
      '88',
    ]);
    const name = NAMES[1];
    const { text, ...ends } = await curl(4, `https://${name}:${TLS_PORT}/who`, name, TLS_PORT);
    t.equal(text, 'core-1');
    t.match((await rig.closed(ends)).inner.remote, coreEndpoint(1, 'tls', 4));
  });
});
