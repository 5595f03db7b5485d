/**
 * HTTP transfers, one after the other, each on a connection of its own.
 * Arguments: host, port, mode ('down', 'up', 'both'), bytes, seed, repeat (1), gapMs (0), and until (a file): transfers go
 * on, on the one connection, until it appears. One report a connection; with `until` its ends as soon as it is open,
 * then that of the last transfer with the longest pauses and the time of all, or an error if any came through wrong.
 */
import { createHash } from 'node:crypto';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { args, endsOf, fileAppears, generate, Received, report, writeAll } from './common.mjs';

const PATHS = { down: '/download', up: '/upload', both: '/both' };
const { until } = args;

let mayEnd = until === undefined;
if (until) {
  fileAppears(until).then(() => {
    mayEnd = true;
  });
}

/** A connection with its transfers: one, or as many as fit in until the file appears. */
async function converse(plan) {
  const agent = new Agent({ keepAlive: until !== undefined, maxSockets: 1, noDelay: true });
  const started = performance.now();
  const all = { pauseMs: 0, farPauseMs: 0, transfers: 0 };
  let done;
  do {
    done = await transfer({ ...plan, seed: plan.seed + all.transfers }, agent, done);
    all.transfers += 1;
    all.pauseMs = Math.max(all.pauseMs, done.body.longestPauseMs);
    all.farPauseMs = Math.max(all.farPauseMs, done.farPauseMs);
    const wrong = wrongIn(done.result, plan);
    if (until && wrong) throw new Error(`transfer ${all.transfers} came through wrong: ${wrong}`);
  } while (!mayEnd);
  const { socket, result } = done;
  // The agent has taken its hold of the process.
  if (until) socket.ref().end();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  const counted = { ...socket.ends, written: socket.bytesWritten, read: socket.bytesRead };
  return { ...result, ...counted, ...all, ms: performance.now() - started };
}

function wrongIn({ up, down }, { bytes }) {
  const isWrong = (part) => part && (part.bytes !== bytes || part.sent !== part.received);
  return isWrong(up) || isWrong(down) ? JSON.stringify({ up, down }) : undefined;
}

async function transfer({ host, port, mode, bytes, seed }, agent, before) {
  const method = mode === 'down' ? 'GET' : 'POST';
  const sent = { bytes: mode === 'down' ? 0 : bytes, hash: createHash('sha256') };
  const outgoing = request({ host, port, agent, method, path: `${PATHS[mode]}?bytes=${bytes}&seed=${seed}` });
  let socket;
  outgoing.on('socket', (used) => {
    socket = used;
    if (used.ends) return;
    used.once('connect', () => {
      used.ends = endsOf(used);
      if (until) report(used.ends);
    });
  });
  const answered = new Promise((resolve, reject) => outgoing.once('response', resolve).once('error', reject));
  const receiving = answered.then((response) => receive(response, before?.body));
  if (mode !== 'down')
    await Promise.race([writeAll(outgoing, generate(bytes, seed + 1, sent.hash)), receiving]);
  outgoing.end();
  const { body, text, trailers, status } = await receiving;
  const json = mode === 'up' ? JSON.parse(text) : undefined;
  const up = {
    sent: sent.hash.digest('hex'),
    received: json?.sha256 ?? trailers['x-upload-sha256'],
    bytes: json?.bytes ?? Number(trailers['x-upload-bytes']),
  };
  const down = { sent: trailers['x-sha256'], received: body.digest(), bytes: body.bytes };
  const result = {
    ...{ mode, status },
    ...(mode !== 'down' && { up }),
    ...(mode !== 'up' && { down }),
  };
  return { result, socket, body, farPauseMs: Number(trailers['x-upload-pause-ms'] ?? 0) };
}

async function receive(response, before) {
  const body = new Received(before);
  let text = '';
  for await (const piece of response) {
    body.take(piece);
    if (text.length < 1000) text += piece.toString('latin1', 0, 1000);
  }
  return { body, text, trailers: response.trailers, status: response.statusCode };
}

for (let i = 0; i < (args.repeat ?? 1); i++) {
  try {
    report(await converse({ ...args, port: args.ports?.[i] ?? args.port, seed: args.seed + 2 * i }));
  } catch (error) {
    report({ mode: args.mode, error: `${error.code ?? ''} ${error.message}` });
  }
  if (args.gapMs) await sleep(args.gapMs);
}
