/**
 * Says things on one connection, each when it is told to. Arguments: host, port, first (said at once, and not answered),
 * steps: a list of { go, bytes, seed } or { go, text, answer }. The service sends back what it gets (`bytes`), or
 * something that holds `answer`. It reports its ends, then each step with both hashes, then that it has closed.
 */
import { createHash } from 'node:crypto';
import { args, fileAppears, generate, openSocket, report, writeAll } from './common.mjs';

const socket = await openSocket(args);
if (args.first) socket.write(args.first);
report(socket.ends);
for (const { go, bytes = 0, seed = 1, text, answer } of args.steps) {
  await fileAppears(go);
  const [sent, received] = [createHash('sha256'), createHash('sha256')];
  let heard = '';
  let count = 0;
  const done = new Promise((resolve, reject) => {
    socket.on('data', (piece) => {
      count += piece.length;
      received.update(piece);
      if (answer) heard += piece.toString('latin1');
      if (answer ? heard.includes(answer) : count >= bytes) resolve();
    });
    socket.once('error', reject);
  });
  if (text) socket.write(text);
  else await writeAll(socket, generate(bytes, seed, sent));
  await done;
  socket.removeAllListeners('data');
  socket.removeAllListeners('error');
  report({ bytes: count, sent: sent.digest('hex'), received: received.digest('hex') });
}
socket.resume();
socket.end();
await new Promise((resolve) => socket.once('close', resolve));
report({ written: socket.bytesWritten, read: socket.bytesRead });
