#!/usr/bin/env node
/**
 * Downloads BYTES from the workload, through the shell, and checks them: `download [BYTES] [--slow-until FILE]`.
 *
 * What the server sends carries its SHA-256 in a trailer. The last line of standard output is a JSON document, with
 * `ok`; the exit code says the same. A line `at N` is written for every MB before that. With --slow-until it reads
 * some 3 MB a second until FILE exists, so that whoever wants to do something in mid-download has the time.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const MB = 1_000_000;
const SLOW_PIECE_PAUSE_MS = 20;

const { values, positionals } = parseArgs({
  options: { 'slow-until': { type: 'string' } },
  allowPositionals: true,
});
const bytes = Number(positionals[0] ?? 64 * MB);
const [host = '', port = ''] = (process.env.SUTURE_SHELL ?? '').split(':');
const isSlow = () => values['slow-until'] !== undefined && !existsSync(values['slow-until']);

const asked = request({ host, port, path: `/download?bytes=${bytes}&seed=1`, agent: false });
const answered = new Promise((resolve, reject) => asked.once('response', resolve).once('error', reject));
asked.end();
const answer = await answered;
const peer = `${answer.socket.localAddress}:${answer.socket.localPort}`;
const hash = createHash('sha256');
let received = 0;
for await (const piece of answer) {
  hash.update(piece);
  const before = Math.floor(received / MB);
  received += piece.length;
  if (Math.floor(received / MB) !== before) console.log(`at ${received}`);
  if (isSlow()) await sleep(SLOW_PIECE_PAUSE_MS);
}
const [sent, got] = [answer.trailers['x-sha256'], hash.digest('hex')];
const ok = answer.complete && received === bytes && sent === got;
console.log(JSON.stringify({ ok, peer, bytes: received, sent, received: got }));
process.exitCode = ok ? 0 : 1;
