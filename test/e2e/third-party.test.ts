/**
 * Other people's test programs through stitched connections: iperf3 in both directions at once, h2load against
 * nghttpd, varnishtest. What they check they say themselves; here it is held that they are content, and that
 * every one of their connections was stitched.
 *
 * SUTURE_TEST_SECONDS: how long iperf3 runs for, 3 if nothing is said; and h2load sends so many times more.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { addressOf, endpointOf, type Family, type RouteConfig } from '../../src/lab/stage.js';
import type { FlowView } from '../../src/switch/admin-protocol.js';
import { checkFlowsTo } from '../support/lab/checks.js';
import { missingPrograms, programEnd } from '../support/lab/programs.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';

const SECONDS = Number(process.env.SUTURE_TEST_SECONDS ?? 3);
const FAMILIES = [4, 6] as const;
const PORTS = { iperf: [5201, 5202, 5203], clear: 8100, tls: 8143, http1: 8181, http2: 8182 } as const;
const SCRIPTS = fileURLToPath(new URL('../support/lab/vtc', import.meta.url));

const IPERF_STREAMS = 8;
/** What a client of iperf3's sends first on each connection. */
const IPERF_COOKIE = 37;

const H2_CLIENTS = 8;
/** Of one client; the pace keeps its connection open for long enough to be stitched. */
const H2_PER_SECOND = 10;
const H2_REQUESTS = H2_PER_SECOND * SECONDS;
const H2_SIZES = { small: 100, middle: 100_000, large: 1_000_000 } as const;

const routes: RouteConfig[] = FAMILIES.flatMap((family) =>
  Object.values(PORTS)
    .flat()
    .map((port) => ({
      listen: endpointOf('a', port, family),
      core: endpointOf('b', port, family),
    })),
);

/** Of a connection that ends with bytes still on their way. */
const ENDINGS = /^(fin|reset-by-(core|peer))$/;

interface IperfStream {
  readonly sends: boolean;
  readonly sent: number;
  readonly received: number;
}

/** What one end of iperf3 says in JSON; a stream's numbers are its own, not what the other end told it. */
class IperfReport {
  readonly error: string | undefined;
  readonly #streams = new Map<number, IperfStream>();
  readonly #end: Readonly<Record<string, { bytes: number }>>;

  constructor(json: string) {
    const { error, start, end } = JSON.parse(json);
    this.error = error;
    this.#end = end;
    const isClient = start.connecting_to !== undefined;
    for (const { sender, receiver } of end.streams) {
      const used = start.connected.find(({ socket }: { socket: number }) => socket === sender.socket);
      const stream = { sends: sender.sender, sent: sender.bytes, received: receiver.bytes };
      this.#streams.set(isClient ? used.local_port : used.remote_port, stream);
    }
  }

  /** By the port of the end that opened it. */
  stream(port: number): IperfStream | undefined {
    return this.#streams.get(port);
  }

  sum(name: string): number {
    return this.#end[name]?.bytes ?? Number.NaN;
  }
}

function portOf(endpoint: string): number {
  return Number(endpoint.slice(endpoint.lastIndexOf(':') + 1));
}

t.test('third-party programs', async (t) => {
  const rig = await Rig.up(t);
  await rig.stage.startSwitch({ dataplane: TEST_DATAPLANE });
  const offers = routes.flatMap(({ core }) => core ?? []);
  await Promise.all([rig.stage.startCore(offers), rig.stage.startShell(routes)]);

  /** False when the server took the streams in another order, so that some have the same direction at both ends. */
  async function iperf(t: Test, family: Family, port: number): Promise<boolean> {
    const json = ['-J', '-p', String(port)];
    const serving = programEnd(rig, 'b', ['iperf3', '-s', '-1', '-B', addressOf('b', family), ...json]);
    await rig.listens('b', port);
    const load = ['--bidir', '-P', String(IPERF_STREAMS), '-t', String(SECONDS)];
    const calling = ['iperf3', '-c', addressOf('a', family), ...load, ...json];
    const [near, far] = await Promise.all([programEnd(rig, 'e', calling), serving]);
    t.strictSame([near.code, far.code], [0, 0], 'both end in order', { near: near.output, far: far.output });
    const client = new IperfReport(near.stdout);
    const server = new IperfReport(far.stdout);
    t.strictSame([client.error, server.error], [undefined, undefined], 'no error');
    // Each end says what it counted itself, and the client also what the server told it.
    t.equal(client.sum('sum_received'), server.sum('sum_received'), 'up: bytes at both ends');
    const reverse = 'sum_sent_bidir_reverse';
    t.equal(client.sum(reverse), server.sum(reverse), 'down: bytes at both ends');

    const listen = endpointOf('a', port, family);
    const isHere = ({ outer }: FlowView): boolean => outer.local === listen;
    const views = (await rig.stage.admin.flows()).filter(isHere);
    const pairs = views.flatMap(({ outer, inner }) => {
      const [mine, theirs] = [client.stream(portOf(outer.remote)), server.stream(portOf(inner.local))];
      return mine && theirs ? [{ outer, mine, theirs }] : [];
    });
    t.equal(pairs.length, 2 * IPERF_STREAMS, 'all streams are flows');
    if (pairs.some(({ mine, theirs }) => mine.sends === theirs.sends)) return false;

    // The end that has not read everything when the time is up resets.
    const expected = { connections: pairs.length + 1, reasons: ENDINGS };
    const flows = await checkFlowsTo(t, rig, listen, expected);
    for (const { outer, mine, theirs } of pairs) {
      const [from, to, way] = mine.sends
        ? ([mine, theirs, 'up'] as const)
        : ([theirs, mine, 'down'] as const);
      const carried = flows.find((flow) => flow.outer.remote === outer.remote)?.[way].bytes ?? 0;
      const cookie = mine.sends ? IPERF_COOKIE : 0;
      const counts = [1, to.received, carried - cookie, from.sent];
      // What is still on its way when the time is up has been sent, and not received.
      t.strictSame(
        counts,
        [...counts].sort((x, y) => x - y),
        `${way}: ${counts.slice(1).join(' ≤ ')} bytes`,
      );
    }
    const megabits = (bytes: number): string => ((bytes * 8) / 1e6 / SECONDS).toFixed(0);
    const received = [client.sum('sum_received'), client.sum('sum_received_bidir_reverse')];
    t.comment(`up and down: ${received.map(megabits).join(' and ')} Mbit/s`);
    return true;
  }

  const noIperf = missingPrograms(['iperf3'], 'iperf3');
  for (const family of FAMILIES) {
    await t.test(`iperf3 --bidir -P ${IPERF_STREAMS}, IPv${family}`, { skip: noIperf }, async (t) => {
      // By the order in which they come in iperf3 knows its streams, and no proxy promises to keep that.
      for (const port of PORTS.iperf) {
        if (await iperf(t, family, port)) return;
        t.comment('the streams came in another order; once more');
      }
      t.fail(`the streams came in another order ${PORTS.iperf.length} times`);
    });
  }

  async function h2load(t: Test, family: Family, kind: 'clear' | 'tls'): Promise<void> {
    const [key, cert] = [join(rig.folder, 'key.pem'), join(rig.folder, 'cert.pem')];
    const pages = join(rig.folder, `pages-${kind}`);
    mkdirSync(pages);
    for (const [name, size] of Object.entries(H2_SIZES)) writeFileSync(join(pages, name), randomBytes(size));
    if (kind === 'tls') {
      const ecdsa = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
      const files = ['-subj', '/CN=example.org', '-keyout', key, '-out', cert];
      await rig.tool('b', ['openssl', 'req', '-x509', ...ecdsa, ...files]);
    }
    const port = PORTS[kind];
    const secret = kind === 'tls' ? [key, cert] : [];
    const options = ['-a', addressOf('b', family), '-d', pages, ...(kind === 'clear' ? ['--no-tls'] : [])];
    const server = rig.stage.start('nghttpd', 'b', ['nghttpd', ...options, String(port), ...secret]);
    await rig.listens('b', port);
    const base = `${kind === 'tls' ? 'https' : 'http'}://${endpointOf('a', port, family)}`;
    const total = H2_CLIENTS * H2_REQUESTS;
    const load = ['-n', String(total), '-c', String(H2_CLIENTS), '-m', '4', '--rps', String(H2_PER_SECOND)];
    const urls = Object.keys(H2_SIZES).map((name) => `${base}/${name}`);
    const { code, output } = await programEnd(rig, 'e', ['h2load', ...load, ...urls]);
    t.equal(code, 0, 'h2load ends in order', { output });
    const none = '0 failed, 0 errored, 0 timeout';
    const done = `${total} total, ${total} started, ${total} done, ${total} succeeded, ${none}`;
    t.match(output, `requests: ${done}`);
    t.match(output, `status codes: ${total} 2xx, 0 3xx, 0 4xx, 0 5xx`);
    // Each client asks for one page after the other, and begins with the first.
    const pageSizes = Object.values(H2_SIZES);
    const each = Array.from({ length: H2_REQUESTS }, (_, i) => pageSizes[i % pageSizes.length] ?? 0);
    const bytes = H2_CLIENTS * each.reduce((sum, size) => sum + size, 0);
    t.match(output, new RegExp(`\\(${bytes}\\) data`), 'all bytes of all pages');
    await checkFlowsTo(t, rig, endpointOf('a', port, family), {
      connections: H2_CLIENTS,
      reasons: ENDINGS,
    });
    await server.stop();
  }

  const noH2 = missingPrograms(['h2load', 'nghttpd'], 'nghttp2-client nghttp2-server');
  await t.test('h2load, HTTP/2 in the clear, IPv4', { skip: noH2 }, (t) => h2load(t, 4, 'clear'));
  await t.test('h2load, HTTP/2 over TLS, IPv6', { skip: noH2 }, (t) => h2load(t, 6, 'tls'));

  async function varnishtest(t: Test, family: Family, script: 'http1' | 'http2'): Promise<void> {
    const port = PORTS[script];
    const half = (side: 'server' | 'client', endpoint: string, go: string): string[] => {
      const given = ['-D', `endpoint=${endpoint}`, '-D', `go=${go}`];
      return ['varnishtest', '-t', '120', ...given, join(SCRIPTS, `${script}-${side}.vtc`)];
    };
    const go = rig.go();
    const listen = endpointOf('a', port, family);
    const serving = programEnd(rig, 'b', half('server', endpointOf('b', port, family), go.path));
    await rig.listens('b', port);
    const calling = programEnd(rig, 'e', half('client', listen, go.path));
    const isStitched = async (): Promise<boolean> => {
      const flows = await rig.stage.admin.flows();
      return flows.some(({ outer, state }) => outer.local === listen && state === 'stitched');
    };
    await rig.stage.until(isStitched, 60_000, () => `no flow to ${listen} was stitched`);
    go.say();
    const [near, far] = await Promise.all([calling, serving]);
    t.strictSame([near.code, far.code], [0, 0], 'both halves passed', { near: near.output, far: far.output });
    const [flow] = await checkFlowsTo(t, rig, listen, { connections: 1 });
    t.ok(flow && flow.down.bytes > 50_000, 'most of it came after the stitch', { flow });
  }

  // One varnishtest has its client and its server in one network namespace; so each host runs one half.
  const noVarnish = missingPrograms(['varnishtest'], 'varnish');
  for (const family of FAMILIES) {
    for (const script of ['http1', 'http2'] as const) {
      await t.test(`varnishtest, ${script}, IPv${family}`, { skip: noVarnish }, (t) =>
        varnishtest(t, family, script),
      );
    }
  }
});
