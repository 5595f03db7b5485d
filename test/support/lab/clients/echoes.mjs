/**
 * Connections one after the other, each opened and used when it is told to. Arguments: list, a file with a
 * JSON array of { open, go, host, port, bytes, seed }: `open` and `go` are files to wait for. The service sends back what it gets.
 * Each reports its ends, then what it sent and received after the go, then that it has closed.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { args, fileAppears, generate, openSocket, Received, report, writeAll } from './common.mjs';

async function converse({ open, go, host, port, bytes, seed }) {
  await fileAppears(open);
  const socket = await openSocket({ host, port });
  socket.write('ECHO\n');
  report(socket.ends);
  await fileAppears(go);
  const sent = createHash('sha256');
  const received = new Received();
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const done = new Promise((resolve) => {
    socket.on('error', ({ code }) => resolve(code));
    socket.on('close', () => resolve('closed'));
    socket.on('data', (piece) => {
      received.take(piece);
      if (received.bytes >= bytes) resolve(undefined);
    });
  });
  const writing = writeAll(socket, generate(bytes, seed, sent));
  const error = await done;
  if (error === undefined) await writing;
  report({ sent: sent.digest('hex'), received: received.digest(), bytes: received.bytes, error });
  socket.end();
  await closed;
  report({ written: socket.bytesWritten, read: socket.bytesRead });
}

for (const connection of JSON.parse(readFileSync(args.list, 'utf8'))) await converse(connection);
