/**
 * The PROXY protocol header, read by receivers that others wrote: HAProxy and nginx on the core's host learn the
 * peer's address from it, and the connection is stitched with the header in its stream.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { addressOf, endpointOf, HTTP_PORT, type RouteConfig } from '../../src/lab/stage.js';
import { run } from '../../src/platform/process.js';
import { checkTransfer } from '../support/lab/checks.js';
import type { ConnectResult, TransferResult } from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';

const BYTES = 20_000_000;
const FAMILIES = [4, 6] as const;
/** On the shell; the receivers have the same numbers on the core. */
const HAPROXY_SAYS = 8090;
const HAPROXY_PASSES = 8091;
const NGINX_SAYS = 8092;

const routes: RouteConfig[] = FAMILIES.flatMap((family) =>
  [HAPROXY_SAYS, HAPROXY_PASSES, NGINX_SAYS].map((port) => ({
    listen: endpointOf('a', port, family),
    core: endpointOf('b', port, family),
    prepend: 'proxy-v2' as const,
  })),
);

const HAPROXY = `defaults
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend says
  mode http
${FAMILIES.map((family) => `  bind ${endpointOf('b', HAPROXY_SAYS, family)} accept-proxy`).join('\n')}
  http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]:%[dst_port]"
frontend passes
  mode tcp
${FAMILIES.map((family) => `  bind ${endpointOf('b', HAPROXY_PASSES, family)} accept-proxy`).join('\n')}
  default_backend workload
backend workload
  mode tcp
  server w ${endpointOf('b', HTTP_PORT, 4)}
`;

const nginx = (folder: string): string => `daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
${FAMILIES.map((family) => `    listen ${endpointOf('b', NGINX_SAYS, family)} proxy_protocol;`).join('\n')}
    location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port"; }
  }
}
`;

async function missing(program: string): Promise<string | false> {
  const { code } = await run('which', [program], { okCodes: [0, 1] });
  return code !== 0 && `${program} is not installed; apt-get install ${program}`;
}

t.test('the PROXY protocol', async (t) => {
  const absent = { haproxy: await missing('haproxy'), nginx: await missing('nginx') };
  const rig = await Rig.up(t);
  await rig.startPath({ routes });

  /** A receiver on the core's host that tells the peer, in an answer to a request, how it sees it. */
  async function says(t: Test, port: number): Promise<void> {
    for (const family of FAMILIES) {
      const host = addressOf('a', family);
      const request = `GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
      const go = rig.go();
      const args = { host, port, send: request, timeoutMs: 30_000, go: go.path };
      const client = rig.startClient('connect', args);
      const { local = '' } = await client.report<ConnectResult>(0);
      const remote = endpointOf('a', port, family);
      await rig.stitched({ local, remote });
      go.say();
      await client.finished();
      const { data } = await client.report<ConnectResult>(1);
      // Neither writes brackets.
      const bare = (endpoint: string): string => endpoint.replace(/[[\]]/g, '');
      t.match(data, /^HTTP\/1\.1 200 /);
      t.equal(data.split('\r\n\r\n')[1], `${bare(local)} ${bare(remote)}`, `IPv${family}`);
      const flow = await rig.closed({ local, remote });
      t.ok(flow.stitchedAt, 'it was stitched', { history: flow.history });
      t.equal(flow.up.bytes, request.length, 'the header is no byte of the peer’s');
    }
  }

  await t.test('HAProxy learns the peer’s address', { skip: absent.haproxy }, async (t) => {
    const config = join(rig.folder, 'haproxy.cfg');
    writeFileSync(config, HAPROXY);
    await rig.tool('b', ['haproxy', '-c', '-q', '-f', config]);
    rig.stage.start('haproxy', 'b', ['haproxy', '-db', '-f', config]);
    await rig.listens('b', HAPROXY_SAYS);
    await says(t, HAPROXY_SAYS);
  });

  for (const family of FAMILIES) {
    const name = `IPv${family}: a transfer through HAProxy, stitched in front of it`;
    await t.test(name, { skip: absent.haproxy }, async (t) => {
      const host = addressOf('a', family);
      const args = { host, port: HAPROXY_PASSES, mode: 'both', bytes: BYTES, seed: 5 };
      const [result] = await rig.client<TransferResult>('transfer', args);
      checkTransfer(t, result, BYTES);
      const flow = await rig.closed(result as TransferResult);
      t.ok(flow.stitchedAt, 'it was stitched', { history: flow.history });
      t.strictSame(
        { up: flow.up.bytes, down: flow.down.bytes, toShell: flow.toShellStitched },
        { up: result?.written, down: result?.read, toShell: { packets: 0, bytes: 0 } },
      );
    });
  }

  await t.test('nginx learns the peer’s address', { skip: absent.nginx }, async (t) => {
    const config = join(rig.folder, 'nginx.conf');
    writeFileSync(config, nginx(rig.folder));
    rig.stage.start('nginx', 'b', ['nginx', '-c', config, '-e', 'stderr']);
    await rig.listens('b', NGINX_SAYS);
    await says(t, NGINX_SAYS);
  });
});
