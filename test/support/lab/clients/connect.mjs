/**
 * Opens a connection and says what came of it. Arguments: host, port, send, timeoutMs; go: a file to wait for
 * before it sends, and then it reports twice.
 */
import { args, fileAppears, openSocket, report } from './common.mjs';

const started = performance.now();
const state = { connected: false, data: '' };
const done = (outcome) => {
  report({ ...state, outcome, ms: performance.now() - started });
  process.exit(0);
};
setTimeout(() => done('timeout'), args.timeoutMs);
try {
  const socket = await openSocket(args);
  state.connected = true;
  Object.assign(state, socket.ends);
  socket.on('data', (piece) => {
    state.data += piece.toString('latin1');
  });
  socket.on('end', () => done('end'));
  socket.on('error', (error) => done(error.code));
  if (args.go) {
    report({ ...state, outcome: 'connected', ms: performance.now() - started });
    await fileAppears(args.go);
  }
  if (args.send) socket.write(args.send);
} catch (error) {
  done(error.code);
}
