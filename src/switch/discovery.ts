/** Answers discovery on the switch's interfaces: captured requests in, datagrams out. */
import { createSocket, type Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { interfacePrefixes } from '../midcom/discovery/client.js';
import { isLinkLocal } from '../midcom/discovery/prefix.js';
import { Responder } from '../midcom/discovery/responder.js';
import type { Epoch } from '../midcom/service.js';
import type { Clock } from '../platform/clock.js';
import type { SwitchConfig } from '../platform/config/index.js';
import { SutureError } from '../platform/errors.js';
import type { Startable } from '../platform/lifecycle.js';
import type { Logger } from '../platform/log.js';
import { canonicalAddress } from '../wire/endpoint.js';
import type { CapturedDatagram } from './discovery-capture.js';

const ANY_ADDRESS = '*';
/** What this switch can do; the control service tells agents the same. */
export const CAPABILITIES = [
  'stitch-ipv4',
  'stitch-ipv6',
  'teardown-core',
  'plaintext',
  'teardown-control',
  'teardown-shell',
  'teardown-both',
] as const;

export interface DiscoveryServiceOptions {
  readonly config: SwitchConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly epoch: () => Epoch;
}

export class DiscoveryService implements Startable {
  private readonly responder: Responder;
  /**
   * They send the replies. Being bound, they also keep the kernel from answering requests with ICMP; what
   * they receive is thrown away, since the captures have it with more to tell.
   */
  private sockets: { readonly ipv4: Socket; readonly ipv6: Socket } | undefined;

  constructor(private readonly options: DiscoveryServiceOptions) {
    const { config, epoch } = options;
    const { address, port } = config.control.listen;
    this.responder = new Responder({
      name: config.name,
      capabilities: CAPABILITIES,
      epoch,
      control: { port, ...(address !== ANY_ADDRESS && { address }) },
      interfaces: config.interfaces,
      isOwn: (text) => ownAddresses().includes(text),
    });
  }

  async start(): Promise<void> {
    const { port } = this.options.config.discovery;
    this.sockets = { ipv4: await bound('udp4', port), ipv6: await bound('udp6', port) };
  }

  async stop(): Promise<void> {
    this.sockets?.ipv4.close();
    this.sockets?.ipv6.close();
    this.sockets = undefined;
  }

  counters(): Record<string, number> {
    return this.responder.counters();
  }

  receive({ source, destination, interface: name, ttl, payload }: CapturedDatagram): void {
    const { clock, log } = this.options;
    const prefixes = interfacePrefixes(name);
    const { reply, counter } = this.responder.handle(
      {
        interface: name,
        prefixes,
        source: source.address,
        sourcePort: source.port,
        destination: destination.address,
        ttl,
        payload,
      },
      clock.monotonic(),
    );
    log.debug({ counter, source: source.address, interface: name }, 'discovery');
    if (!reply || !this.sockets) return;
    const isIpv6 = reply.address.includes(':');
    const address = isLinkLocal(reply.address) ? `${reply.address}%${reply.interface}` : reply.address;
    const socket = isIpv6 ? this.sockets.ipv6 : this.sockets.ipv4;
    // A reply that can't be sent is one that got lost: the asker tries again.
    socket.send(reply.bytes, reply.port, address, (err) => err && log.debug({ err }, 'discovery reply'));
  }
}

function bound(type: 'udp4' | 'udp6', port: number): Promise<Socket> {
  const socket = createSocket({ type, ipv6Only: type === 'udp6', reuseAddr: false });
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      const message = `can't bind the discovery port ${port} (${type}): ${error.message}. Set discovery.port to a free one`;
      reject(new SutureError('SUT_ALREADY_RUNNING', message, { cause: error }));
    });
    socket.bind(port, () => {
      socket.removeAllListeners('error');
      socket.on('error', () => {});
      resolve(socket);
    });
  });
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).flatMap(({ address }) => canonicalAddress(address.split('%')[0] ?? '') ?? []),
  );
}
