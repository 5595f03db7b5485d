/** UDP as discovery uses it: one hop only, both to its neighbours and to multicast groups. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

export interface DiscoverySocket {
  /** Rejects when the datagram could not be sent. */
  send(bytes: Uint8Array, port: number, address: string): Promise<void>;
  close(): void;
}

export interface SocketRequest {
  readonly family: 'ipv4' | 'ipv6';
  readonly interface: string;
  /** An address of the interface, of that family. */
  readonly address: string;
  /** `address` without a zone. */
  readonly onMessage: (bytes: Uint8Array, address: string) => void;
}

export type OpenSocket = (request: SocketRequest) => Promise<DiscoverySocket>;

/** A TTL or hop limit of 1: a router in between ends the datagram. */
const ONE_HOP = 1;

export const openUdpSocket: OpenSocket = async ({ family, interface: name, address, onMessage }) => {
  const v4 = family === 'ipv4';
  const socket = createSocket({ type: v4 ? 'udp4' : 'udp6', ipv6Only: !v4 });
  // The network's errors are the same as no answer.
  socket.on('error', () => undefined);
  socket.on('message', (bytes, from) => onMessage(bytes, from.address.replace(/%.*/, '')));
  try {
    // IPv6 takes the source that suits the destination's scope (RFC 6724).
    socket.bind({ address: v4 ? address : '::', port: 0 });
    await once(socket, 'listening');
    socket.setTTL(ONE_HOP);
    socket.setMulticastTTL(ONE_HOP);
    socket.setMulticastLoopback(false);
    socket.setMulticastInterface(v4 ? address : `::%${name}`);
  } catch (error) {
    socket.close();
    throw error;
  }
  return {
    send: (bytes, port, to) =>
      new Promise((resolve, reject) => {
        socket.send(bytes, port, to, (error) => (error ? reject(error) : resolve()));
      }),
    close: () => socket.close(),
  };
};
