/**
 * HTTP transfers, one after the other, each on a connection of its own.
 * Arguments: host, port, mode ('down', 'up', 'both'), bytes, seed, repeat (1), gapMs (0). One report each.
 */
import { createHash } from 'node:crypto';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { args, endsOf, generate, Received, report, writeAll } from './common.mjs';

const PATHS = { down: '/download', up: '/upload', both: '/both' };

async function transfer({ host, port, mode, bytes, seed }) {
  const started = performance.now();
  const agent = new Agent({ keepAlive: false, noDelay: true });
  const method = mode === 'down' ? 'GET' : 'POST';
  const sent = { bytes: mode === 'down' ? 0 : bytes, hash: createHash('sha256') };
  const outgoing = request({ host, port, agent, method, path: `${PATHS[mode]}?bytes=${bytes}&seed=${seed}` });
  let socket;
  outgoing.on('socket', (used) => {
    socket = used;
    used.once('connect', () => {
      used.ends = endsOf(used);
    });
  });
  const answered = new Promise((resolve, reject) => outgoing.once('response', resolve).once('error', reject));
  const receiving = answered.then(receive);
  if (mode !== 'down')
    await Promise.race([writeAll(outgoing, generate(bytes, seed + 1, sent.hash)), receiving]);
  outgoing.end();
  const { body, text, trailers, status } = await receiving;
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  const json = mode === 'up' ? JSON.parse(text) : undefined;
  return {
    mode,
    status,
    ...socket.ends,
    written: socket.bytesWritten,
    read: socket.bytesRead,
    ms: performance.now() - started,
    pauseMs: body.longestPauseMs,
    farPauseMs: Number(trailers['x-upload-pause-ms'] ?? 0),
    up:
      mode === 'down'
        ? undefined
        : {
            sent: sent.hash.digest('hex'),
            received: json?.sha256 ?? trailers['x-upload-sha256'],
            bytes: json?.bytes ?? Number(trailers['x-upload-bytes']),
          },
    down:
      mode === 'up'
        ? undefined
        : {
            sent: trailers['x-sha256'],
            received: body.digest(),
            bytes: body.bytes,
          },
  };
}

async function receive(response) {
  const body = new Received();
  let text = '';
  for await (const piece of response) {
    body.take(piece);
    if (text.length < 1000) text += piece.toString('latin1', 0, 1000);
  }
  return { body, text, trailers: response.trailers, status: response.statusCode };
}

for (let i = 0; i < (args.repeat ?? 1); i++) {
  try {
    report(await transfer({ ...args, port: args.ports?.[i] ?? args.port, seed: args.seed + 2 * i }));
  } catch (error) {
    report({ mode: args.mode, error: `${error.code ?? ''} ${error.message}` });
  }
  if (args.gapMs) await sleep(args.gapMs);
}
