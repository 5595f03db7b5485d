/** A relay on loopback that may change one bit of what each client sends; all else goes through as it came. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';

export interface BitFlip {
  /** Of the byte, from the beginning of what the client sends. */
  readonly offset: number;
  readonly mask: number;
}

/** `port`: where it leads to. Closing it is up to the caller. */
export async function startRelay(port: number, flip?: BitFlip): Promise<{ server: Server; port: number }> {
  // Half-open: an end that has finished first must not cut off what the other one still sends.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let at = 0;
    client.on('data', (chunk: Buffer) => {
      const place = flip ? flip.offset - at : -1;
      if (flip && place >= 0 && place < chunk.length) chunk[place] = (chunk[place] ?? 0) ^ flip.mask;
      at += chunk.length;
      if (!far.write(chunk)) {
        client.pause();
        far.once('drain', () => client.resume());
      }
    });
    client.on('end', () => far.end());
    far.pipe(client);
    for (const socket of [client, far]) socket.on('error', () => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}
