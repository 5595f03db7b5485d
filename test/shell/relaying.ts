/** A process that relays one connection to the port that it is given, until it is killed. Prints where it listens. */
import { type AddressInfo, connect, createServer } from 'node:net';
import { Relay } from '../../src/platform/relay.js';
import { NO_BYTES } from '../../src/shell/arrival.js';

const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (outer) => {
  const inner = connect({ host: '127.0.0.1', port: Number(process.argv[2]), allowHalfOpen: true }, () => {
    new Relay(outer, inner, { bufferBytes: 65_536, opened: 'inner', early: NO_BYTES }).start();
  });
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
