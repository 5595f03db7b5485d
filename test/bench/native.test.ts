/** The benchmarks' own programs, over loopback: that they measure what they say, above all a byte that is wrong. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import type { EndReport } from '../../bench/support/bulk.js';
import { run } from '../../src/platform/process.js';
import { startRelay } from '../support/bit-flip.js';

const NATIVE = new URL('../../bench/native', import.meta.url).pathname;
const OFFSET = 3_000_001;

async function compile(t: Test, name: string): Promise<string> {
  const program = join(t.testdir({}), name);
  const flags = ['-O2', '-Wall', '-Wextra', '-Werror'];
  await run('gcc', [...flags, '-o', program, join(NATIVE, `${name}.c`)], { timeoutMs: 60_000 });
  return program;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}

/** Its lines, one after the other. */
function start(t: Test, argv: readonly string[]): { child: ChildProcess; line(): Promise<string> } {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, line: async () => (await lines.next()).value as string };
}

t.test('all compile without a warning', async (t) => {
  for (const file of readdirSync(NATIVE).filter((name) => name.endsWith('.c'))) {
    await t.resolves(compile(t, basename(file, '.c')), file);
  }
});

t.test('bulk: both directions, every byte', async (t) => {
  const program = await compile(t, 'bulk');
  const port = await freePort();
  const server = start(t, [program, 'server', `127.0.0.1:${port}`]);
  t.equal(await server.line(), 'ready');

  await t.test('all is well', async (t) => {
    const { stdout } = await run(program, [
      'client',
      `127.0.0.1:${port}`,
      '200',
      '5',
      'e=/proc/self/net/snmp',
    ]);
    const peer = JSON.parse(stdout) as EndReport;
    const core = JSON.parse(await server.line()) as EndReport;
    t.match(peer, { end: 'peer', seed: 5, wrongAt: -1, local: /^127\.0\.0\.1:\d+$/ });
    t.match(core, { end: 'core', seed: 5, wrongAt: -1 });
    t.equal(core.received, peer.sent);
    t.equal(peer.received, core.sent);
    t.ok(peer.sent > OFFSET, 'a transfer of some length', { sent: peer.sent });
    t.ok(Array.isArray(peer.hosts.e), 'the growth of a counter of its host');
    t.ok(Math.abs(peer.start - Date.now()) < 60_000, 'the start is a wall clock time');
  });

  await t.test('a bit that changes on the way is found where it is', async (t) => {
    const relay = await startRelay(port, { offset: OFFSET + 16, mask: 0x10 });
    t.teardown(() => relay.server.close());
    const { stdout } = await run(program, ['client', `127.0.0.1:${relay.port}`, '300', '6']);
    const peer = JSON.parse(stdout) as EndReport;
    const core = JSON.parse(await server.line()) as EndReport;
    t.equal(peer.wrongAt, -1);
    // The connection begins with sixteen bytes that are no part of the stream; a word has eight.
    t.equal(core.wrongAt, OFFSET - (OFFSET % 8));
    t.equal(core.received, peer.sent);
  });
});

t.test('the echo server gives back what it gets, on many connections', async (t) => {
  const program = await compile(t, 'echo-server');
  const port = await freePort();
  const server = start(t, [program, `127.0.0.1:${port}`, '-1']);
  t.equal(await server.line(), 'ready');
  const answers = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const socket = connect(port, '127.0.0.1');
      socket.write(`hello ${i}`);
      const [piece] = (await once(socket, 'data')) as [Buffer];
      socket.end();
      await once(socket, 'close');
      return piece.toString();
    }),
  );
  t.strictSame(
    answers,
    Array.from({ length: 20 }, (_, i) => `hello ${i}`),
  );
});
