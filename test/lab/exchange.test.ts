/** The byte-by-byte comparison of the end-to-end tests, over loopback: that it finds one bit that changes on the way. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startRelay } from '../support/bit-flip.js';
import { compileNative } from '../support/lab/native.js';

const CONNECTIONS = '3';
const BYTES = '300000';
/** The first bytes say what follows. */
const PLAN_BYTES = 32;

interface Ended {
  readonly code: number | null;
  readonly reports: readonly { sent: number; received: number; expected: number; wrongAt: number }[];
}

function start(
  t: Test,
  program: string,
  args: readonly string[],
): { ready: Promise<void>; ended: Promise<Ended> } {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  let said = '';
  const ready = new Promise<void>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.startsWith('ready\n')) resolve();
    });
  });
  const ended = once(child, 'close').then(([code]) => {
    const lines = said.split('\n').filter((line) => line.startsWith('{'));
    return { code, reports: lines.map((line) => JSON.parse(line)) };
  });
  return { ready, ended };
}

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return String((server.address() as AddressInfo).port);
}

t.test('exchange', async (t) => {
  const folder = t.testdir({});
  const program = await compileNative('exchange', folder);
  await compileNative('wire', folder);
  const go = join(folder, 'go');
  writeFileSync(go, '');

  /** `offset`: behind the plan, where the relay between them changes a bit; without one, nowhere. */
  async function exchange(t: Test, offset?: number): Promise<[Ended, Ended]> {
    const probe = createServer();
    const port = await listening(probe);
    probe.close();
    await once(probe, 'close');
    const server = start(t, program, ['server', '127.0.0.1', port, CONNECTIONS]);
    await server.ready;
    const flip = offset === undefined ? undefined : { offset: PLAN_BYTES + offset, mask: 0x20 };
    const relay = await startRelay(Number(port), flip);
    t.teardown(() => relay.server.close());
    const through = String(relay.port);
    const client = start(t, program, ['client', '127.0.0.1', through, CONNECTIONS, '7', BYTES, go]);
    return Promise.all([client.ended, server.ended]);
  }

  await t.test('all is well', async (t) => {
    for (const { code, reports } of await exchange(t)) {
      t.equal(code, 0);
      t.equal(reports.length, Number(CONNECTIONS));
      for (const report of reports) t.match(report, { received: report.expected, wrongAt: -1 });
    }
  });

  await t.test('one bit, in every connection', async (t) => {
    const [client, server] = await exchange(t, 100_003);
    t.equal(client.code, 0, 'the other direction is well');
    t.equal(server.code, 1);
    // The offset of its word.
    t.strictSame(
      server.reports.map(({ wrongAt }) => wrongAt),
      [100_000, 100_000, 100_000],
    );
  });
});
