/**
 * One plain TCP connection and one way to end it. A first report says that the connection is open and that its
 * first bytes are through; when the file `go` appears, the ending follows and then the second report.
 * Arguments: host, port, ending ('half-close', 'client-first', 'client-reset', 'server-reset', 'server-first'), bytes, seconds, go.
 */
import { createHash } from 'node:crypto';
import { args, expectedHash, fileAppears, generate, openSocket, report, writeAll } from './common.mjs';

const { host, port, ending, bytes, seconds, go } = args;
const socket = await openSocket({ host, port }, { allowHalfOpen: true });
const pieces = [];
let received = 0;
let error;
let sentEndAt;
let lastDataAt;
const closed = new Promise((resolve) => socket.once('close', resolve));
const ended = new Promise((resolve) => socket.once('end', resolve));
socket.on('error', (problem) => {
  error = problem.code;
});
socket.on('data', (piece) => {
  pieces.push(piece);
  received += piece.length;
  lastDataAt = performance.now();
});

const untilReceived = async (count) => {
  while (received < count && !socket.destroyed) await new Promise((resolve) => socket.once('data', resolve));
};

function result(extra) {
  report({
    ...socket.ends,
    written: socket.bytesWritten,
    read: socket.bytesRead,
    error,
    ...extra,
  });
}

/** The client's first half of the transfer before, the second after the go: the cut lies in between. */
async function halfClose() {
  const hash = createHash('sha256');
  const chunks = [...generate(bytes, 7, hash)];
  socket.write(`SINK ${seconds}\n`);
  await writeAll(socket, chunks.slice(0, chunks.length / 2));
  result();
  await fileAppears(go);
  await writeAll(socket, chunks.slice(chunks.length / 2));
  socket.end();
  sentEndAt = performance.now();
  await ended;
  await closed;
  const all = Buffer.concat(pieces);
  const line = all.subarray(0, all.indexOf(10));
  const [sha256, count] = line.toString('latin1').split(' ');
  const answer = all.subarray(line.length + 1, all.length - 64);
  result({
    up: { sent: hash.digest('hex'), received: sha256, bytes: Number(count) },
    down: {
      sent: all.subarray(all.length - 64).toString('latin1'),
      received: createHash('sha256').update(answer).digest('hex'),
      bytes: answer.length,
    },
    answeredForMs: lastDataAt - sentEndAt,
  });
}

/** All bytes have arrived before the reset, which would discard those that were not yet sent. */
async function clientReset() {
  const hash = createHash('sha256');
  socket.write(`HOLD ${bytes}\n`);
  await writeAll(socket, generate(bytes, 7, hash));
  await untilReceived('held\n'.length);
  result();
  await fileAppears(go);
  const { bytesWritten, bytesRead } = socket;
  socket.resetAndDestroy();
  await closed;
  result({ written: bytesWritten, read: bytesRead });
}

/** A plain FIN with nothing else on the way; the server answers with its own. */
async function clientFirst() {
  socket.write(`HOLD ${bytes}\n`);
  await writeAll(socket, generate(bytes, 7, createHash('sha256')));
  await untilReceived('held\n'.length);
  result();
  await fileAppears(go);
  socket.end();
  await closed;
  result();
}

async function serverReset() {
  socket.write(`RESET ${bytes}\n`);
  await untilReceived(bytes);
  result();
  await fileAppears(go);
  const before = { written: socket.bytesWritten + 1, read: socket.bytesRead };
  socket.write('x');
  await closed;
  result(before);
}

/** The server ends first, the client after it, each with a plain FIN. */
async function serverFirst() {
  result();
  await fileAppears(go);
  socket.write(`SOURCE ${bytes} 1\n`);
  await ended;
  socket.end();
  await closed;
  const sent = expectedHash(bytes, 1);
  const got = createHash('sha256').update(Buffer.concat(pieces)).digest('hex');
  result({ down: { sent, received: got, bytes: received } });
}

const ENDINGS = {
  'half-close': halfClose,
  'client-first': clientFirst,
  'client-reset': clientReset,
  'server-reset': serverReset,
  'server-first': serverFirst,
};
await ENDINGS[ending]();
