/**
 * Programs with a database behind the shell: a PostgreSQL server at the peer's place, pgbench by a forward and an
 * unmodified JVM with JDBC by SOCKS in the core's. No error, the books balance, every connection stitched.
 *
 * SUTURE_TEST_SECONDS: how long pgbench and the JVM run for, 4 and 3 if nothing is said; 60 is the long form.
 * SUTURE_TEST_STITCH=never relays instead, to see what the stitch is worth.
 */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  addressOf,
  endpointOf,
  type Family,
  type RouteConfig,
  WORKLOAD_CLASSES,
} from '../../src/lab/stage.js';
import { checkFlowsTo } from '../support/lab/checks.js';
import { DATABASE, POSTGRES_PORT, Postgres, postgresPrograms } from '../support/lab/postgres.js';
import { installed, type ProgramSaid, processorMs, programEnd } from '../support/lab/programs.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';

const SECONDS = Number(process.env.SUTURE_TEST_SECONDS ?? 4);
const JDBC_SECONDS = Number(process.env.SUTURE_TEST_SECONDS ?? 3);
const RELAYED = process.env.SUTURE_TEST_STITCH === 'never';
/** Not `never`: a shell without any route to be stitched reserves nothing, which is what its start is waited for. */
const STITCH = RELAYED ? ({ after: { age: '1h' } } as const) : 'now';
const CONNECTIONS = 8;
const SOCKS_PORT = 1080;
const DRIVER = '/usr/share/java/postgresql.jar';
const FAMILIES = [4, 6] as const;

const ROUTES: RouteConfig[] = FAMILIES.flatMap((family) => [
  {
    listen: endpointOf('a', POSTGRES_PORT, family),
    peer: endpointOf('e', POSTGRES_PORT, family),
    stitch: STITCH,
  },
  {
    listen: endpointOf('a', SOCKS_PORT, family),
    socks5: true,
    allow: [endpointOf('e', POSTGRES_PORT, family)],
    stitch: STITCH,
  },
]);

interface JdbcResult {
  readonly connections: number;
  readonly transactions: number;
  readonly large: number;
  readonly errors: number;
  readonly seconds: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

const bin = postgresPrograms();
const missing = bin === undefined && 'no PostgreSQL server (Debian: postgresql)';

t.test('a database behind the shell', { skip: missing }, async (t) => {
  const rig = await Rig.up(t);
  const database = await Postgres.start(rig, bin ?? '', 'e');
  await rig.stage.startSwitch({ dataplane: TEST_DATAPLANE });
  const [shell] = await Promise.all([
    rig.stage.startShell(ROUTES),
    rig.stage.startCore([], { calls: 'any' }),
  ]);

  /** Runs a client, and tells what it and the shell cost meanwhile. */
  async function measured(t: Test, argv: readonly string[]): Promise<ProgramSaid> {
    const before = processorMs(shell.pid);
    const said = await programEnd(rig, 'b', argv);
    t.comment(
      `${RELAYED ? 'relayed' : 'stitched'}: the shell used ${processorMs(shell.pid) - before} ms of a processor`,
    );
    return said;
  }

  /** `most`: of connections that pgbench opens before its clients, to look at the tables. */
  async function checkFlows(t: Test, listen: string, most = 0): Promise<void> {
    if (RELAYED) return;
    await checkFlowsTo(t, rig, listen, { connections: CONNECTIONS, most, openedBy: 'core' });
  }

  async function checkBooks(t: Test): Promise<void> {
    const sums = ['abalance) FROM pgbench_accounts', 'delta) FROM pgbench_history'];
    const [accounts, history] = await Promise.all(sums.map((what) => database.ask(`SELECT sum(${what}`)));
    t.match(history, /^-?\d+$/, 'there is a history');
    t.equal(accounts, history, 'the accounts are what the history says');
  }

  async function pgbench(t: Test, family: Family, seconds: number): Promise<void> {
    await database.direct('pgbench', ['-i', '-q', '-I', 'dtgp', '-s', '4', DATABASE]);
    const reach = ['-h', addressOf('a', family), '-p', String(POSTGRES_PORT), '-U', 'test'];
    const load = ['-n', '-c', String(CONNECTIONS), '-j', '2', '-T', String(seconds), DATABASE];
    const { code, output } = await measured(t, [join(bin ?? '', 'pgbench'), ...reach, ...load]);
    t.equal(code, 0, 'pgbench is content', { output });
    t.comment(output);
    t.match(output, /^number of failed transactions: 0 /m);
    const processed = Number(/^number of transactions actually processed: (\d+)/m.exec(output)?.[1]);
    t.ok(processed > 0, 'there were transactions');
    t.equal(
      await database.ask('SELECT count(*) FROM pgbench_history'),
      String(processed),
      'all in the history',
    );
    await checkBooks(t);
    await checkFlows(t, endpointOf('a', POSTGRES_PORT, family), 1);
  }

  async function jdbc(t: Test, family: Family, seconds: number): Promise<void> {
    await database.direct('pgbench', ['-i', '-q', '-I', 'dtgp', '-s', '4', DATABASE]);
    const properties = [`-DsocksProxyHost=${addressOf('a', family)}`, `-DsocksProxyPort=${SOCKS_PORT}`];
    const classes = ['-cp', `${WORKLOAD_CLASSES}:${DRIVER}`, 'suture.workload.Jdbc'];
    // TCP by itself: the driver would first ask for encryption, and the server says no.
    const url = `jdbc:postgresql://${endpointOf('e', POSTGRES_PORT, family)}/${DATABASE}?user=test&sslmode=disable`;
    const argv = ['java', '-Xmx256m', ...properties, ...classes, url, String(CONNECTIONS), String(seconds)];
    const { code, output, stdout } = await measured(t, argv);
    t.equal(code, 0, 'the JVM ends in order', { output });
    t.comment(stdout);
    const result = JSON.parse(stdout) as JdbcResult;
    t.match(result, { connections: CONNECTIONS, errors: 0 }, 'no connection failed', { output });
    t.ok(result.transactions > 0 && result.large >= CONNECTIONS, 'each connection did all kinds of work', {
      result,
    });
    const rows = await database.ask('SELECT count(*) FROM pgbench_history');
    t.equal(rows, String(result.transactions), 'all in the history');
    await checkBooks(t);
    await checkFlows(t, endpointOf('a', SOCKS_PORT, family));
  }

  await t.test(`pgbench, ${CONNECTIONS} connections, ${SECONDS} s`, (t) => pgbench(t, 4, SECONDS));
  await t.test('pgbench, IPv6', (t) => pgbench(t, 6, 2));
  const noDriver = installed([DRIVER]) ? false : `no ${DRIVER} (Debian: libpostgresql-jdbc-java)`;
  await t.test(`JDBC by SOCKS, ${CONNECTIONS} connections, ${JDBC_SECONDS} s`, { skip: noDriver }, (t) =>
    jdbc(t, 4, JDBC_SECONDS),
  );
  // The driver leaves looking up to the proxy, and so gives this address as a name, in brackets.
  await t.test('JDBC by SOCKS, IPv6', { skip: noDriver }, (t) => jdbc(t, 6, 2));
});
