/**
 * Sends UDP datagrams as they are given. Arguments: list of { to, port, hex, ttl, from }. One report when all
 * have left.
 */
import { createSocket } from 'node:dgram';
import { args, report } from './common.mjs';

async function send({ to, port, hex, ttl, from }) {
  const socket = createSocket('udp4');
  await new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address: from }, resolve);
  });
  socket.setTTL(ttl);
  await new Promise((resolve, reject) => {
    socket.send(Buffer.from(hex, 'hex'), port, to, (error) => (error ? reject(error) : resolve()));
  });
  socket.close();
}

for (const datagram of args.list) await send(datagram);
report({ sent: args.list.length });
