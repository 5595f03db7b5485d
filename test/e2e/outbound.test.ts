/**
 * Connections that programs on the core's host open to a server on the peer's, through the shell: by SOCKS from
 * an unmodified JVM and from curl, and by a forward. Every one is stitched and comes through byte for byte.
 */
import t, { type Test } from 'tap';
import {
  addressOf,
  endpointOf,
  HTTP_PORT,
  RAW_PORT,
  type RouteConfig,
  WORKLOAD_CLASSES,
} from '../../src/lab/stage.js';
import type { FlowDetail } from '../../src/switch/admin-protocol.js';
import { formatEndpoint, parseEndpoint } from '../../src/wire/endpoint.js';
import { checkTransfer } from '../support/lab/checks.js';
import type { EndingResult, StreamResult, TransferResult } from '../support/lab/results.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';

const BYTES = 20_000_000;
const SOCKS_PORT = 1080;
const LOGIN_PORT = 1081;
const FORWARD_PORT = 9000;
const RAW_FORWARD_PORT = 9001;
const USER = { user: 'app', password: 'secret' };
/** A JVM logs in with its user's name and without a password, unless its program has an Authenticator. */
const JVM_USER = { user: 'jvm', password: '' };

interface JavaResult {
  readonly local: string;
  readonly written: number;
  readonly read: number;
  readonly up: StreamResult;
  readonly down: StreamResult;
}

const FAMILIES = [4, 6] as const;
const ALLOW = [`${addressOf('e', 4)}:*`, `[${addressOf('e', 6)}]:*`];
const ROUTES: RouteConfig[] = FAMILIES.flatMap((family) => [
  { listen: endpointOf('a', SOCKS_PORT, family), socks5: true, allow: ALLOW },
  { listen: endpointOf('a', LOGIN_PORT, family), socks5: { users: [USER, JVM_USER] }, allow: ALLOW },
  { listen: endpointOf('a', FORWARD_PORT, family), peer: endpointOf('e', HTTP_PORT, family) },
  { listen: endpointOf('a', RAW_FORWARD_PORT, family), peer: endpointOf('e', RAW_PORT, family) },
]);

/** Java does not shorten IPv6 addresses. */
function canonical(endpoint: string): string {
  const parsed = parseEndpoint(endpoint);
  return parsed ? formatEndpoint(parsed) : endpoint;
}

t.test('connections that the core opens', async (t) => {
  const rig = await Rig.up(t);
  const workload = rig.stage.startWorkload('e');
  await rig.stage.startSwitch({ dataplane: TEST_DATAPLANE });
  await Promise.all([rig.stage.startCore([], { calls: 'any' }), rig.stage.startShell(ROUTES), workload]);

  async function checkFlow(
    t: Test,
    { local, listen, to, up, down }: { local: string; listen: string; to: string; up: number; down: number },
  ): Promise<FlowDetail> {
    const flow = await rig.closed({ local, remote: listen });
    t.ok(flow.stitchedAt, 'it was stitched', { history: flow.history });
    t.match(flow, { reason: 'fin', openedBy: 'core', outer: { remote: to }, stitchCause: ['now'] });
    t.strictSame({ up: flow.up.bytes, down: flow.down.bytes }, { up, down }, 'stream bytes');
    t.strictSame(flow.toShellStitched, { packets: 0, bytes: 0 }, 'nothing to the shell once stitched');
    return flow;
  }

  const java = async (properties: readonly string[], host: string, port: number): Promise<JavaResult> => {
    const args = [host, String(port), String(BYTES), '7'];
    const argv = [
      'java',
      '-Xmx128m',
      ...properties,
      '-cp',
      WORKLOAD_CLASSES,
      'suture.workload.Client',
      ...args,
    ];
    return JSON.parse(await rig.tool('b', argv)) as JavaResult;
  };

  for (const family of FAMILIES) {
    for (const login of [false, true]) {
      await t.test(`IPv${family}: a JVM by SOCKS${login ? ' with a login' : ''}`, async (t) => {
        const port = login ? LOGIN_PORT : SOCKS_PORT;
        const properties = [`-DsocksProxyHost=${addressOf('a', family)}`, `-DsocksProxyPort=${port}`];
        if (login) properties.push(`-Duser.name=${JVM_USER.user}`);
        const result = await java(properties, addressOf('e', family), RAW_PORT);
        checkTransfer(t, { ...result, mode: 'both' } as unknown as TransferResult, BYTES);
        // Methods, the login, and a request with an address.
        const handshake = 4 + (login ? 3 + JVM_USER.user.length : 0) + (family === 4 ? 10 : 22);
        await checkFlow(t, {
          local: canonical(result.local),
          listen: endpointOf('a', port, family),
          to: endpointOf('e', RAW_PORT, family),
          up: result.read,
          down: result.written + handshake,
        });
      });
    }

    await t.test(`IPv${family}: curl by SOCKS`, async (t) => {
      const proxy = endpointOf('a', LOGIN_PORT, family);
      const base = `http://${endpointOf('e', HTTP_PORT, family)}`;
      const proxied = `socks5h://${USER.user}:${USER.password}@${proxy}`;
      const made = JSON.parse(await rig.tool('e', ['curl', '-sS', `${base}/hash?bytes=${BYTES}&seed=9`]));
      const file = `${rig.folder}/curl-${family}`;
      const format = '%{local_ip} %{local_port} %{size_download} %{http_code}';
      const argv = ['curl', '-sS', '-g', '-x', proxied, '-o', file, '-w', format];
      const said = await rig.tool('b', [...argv, `${base}/download?bytes=${BYTES}&seed=9`]);
      const [ip = '', port = '', size, code] = said.split(' ');
      t.strictSame([size, code], [String(BYTES), '200']);
      const [hash] = (await rig.tool('b', ['sha256sum', file])).split(' ');
      t.equal(hash, made.sha256, 'SHA-256');
      const local = family === 4 ? `${ip}:${port}` : `[${ip}]:${port}`;
      const flow = await rig.closed({ local, remote: proxy });
      t.ok(flow.stitchedAt, 'it was stitched', { history: flow.history });
      t.strictSame(flow.toShellStitched, { packets: 0, bytes: 0 });
      t.ok(flow.up.bytes > BYTES, 'up is from the far server');
    });

    await t.test(`IPv${family}: a forward`, async (t) => {
      const listen = endpointOf('a', FORWARD_PORT, family);
      const args = { host: addressOf('a', family), port: FORWARD_PORT, mode: 'both', bytes: BYTES, seed: 3 };
      const [result] = await rig.client<TransferResult>('transfer', args, { host: 'b' });
      checkTransfer(t, result, BYTES);
      const { local = '', read = 0, written = 0 } = result ?? {};
      const to = endpointOf('e', HTTP_PORT, family);
      await checkFlow(t, { local, listen, to, up: read, down: written });
    });
  }

  await t.test('whoever resets is named by role', async (t) => {
    for (const [ending, reason] of [
      ['client-reset', 'reset-by-core'],
      ['server-reset', 'reset-by-peer'],
      ['half-close', 'fin'],
    ] as const) {
      const go = rig.go();
      const host = addressOf('a', 4);
      const args = { host, port: RAW_FORWARD_PORT, ending, bytes: 100_000, seconds: 1, go: go.path };
      const client = rig.startClient('ending', args, { host: 'b' });
      const ends = await client.report<EndingResult>(0);
      await rig.stitched(ends);
      go.say();
      await client.finished();
      t.match(await rig.closed(ends), { reason, openedBy: 'core' }, ending);
    }
  });

  await t.test('curl is told why not', async (t) => {
    const proxy = `socks5h://${endpointOf('a', SOCKS_PORT)}`;
    for (const [url, expected] of [
      [`http://${addressOf('e', 4)}:7/`, /connection (to proxy )?refused|\(5\)/i],
      ['http://10.201.1.9/', /not allowed|\(2\)/i],
      ['http://127.0.0.1/', /not allowed|\(2\)/i],
    ] as const) {
      const argv = ['sh', '-c', `curl -sS -x ${proxy} ${url} 2>&1; echo "exit $?"`];
      const said = await rig.tool('b', argv);
      t.match(said, expected, url);
      t.match(said, /exit 97/, 'CURLE_PROXY');
    }
    const wrong = [
      'sh',
      '-c',
      `curl -sS -x socks5://app:wrong@${endpointOf('a', LOGIN_PORT)} http://x/ 2>&1; echo`,
    ];
    t.match(await rig.tool('b', wrong), /rejected|denied|authent/i);
  });

  await t.test('a client that is no core’s is relayed', async (t) => {
    const before = (await rig.stage.admin.flows()).length;
    const argv = ['curl', '-sS', '-x', `socks5h://${endpointOf('a', SOCKS_PORT)}`];
    t.equal(await rig.tool('e', [...argv, `http://${endpointOf('e', HTTP_PORT)}/ping`]), 'pong\n');
    t.equal((await rig.stage.admin.flows()).length, before, 'no flow');
  });

  await t.test('the command line shows who opened it', async (t) => {
    const [flow] = await rig.stage.admin.flows();
    const shown = await rig.suture('s', [
      'flows',
      'show',
      flow?.id ?? '',
      '--admin',
      `unix:${rig.stage.adminSocket}`,
    ]);
    t.match(shown.stdout, /^outer +10\.201\.1\.2:8081 ← 10\.201\.2\.2:\d+$/m);
    t.match(shown.stdout, /^inner +10\.201\.2\.2:1080 ← 10\.201\.3\.2:\d+$/m);
  });
});
