/** The ends of a socket, as the switch knows them: canonical addresses without zones. */
import type { Socket } from 'node:net';
import type { ConnectionEndpoints } from '../flow/endpoints.js';
import { canonicalAddress, type Endpoint } from '../wire/endpoint.js';

/** Undefined when the other end has gone, or for addresses with a zone. */
export function endpointsOf(socket: Socket): ConnectionEndpoints | undefined {
  if (socket.localAddress?.includes('%')) return undefined;
  const [local, remote] = [localEnd(socket), remoteEnd(socket)];
  return local && remote ? { local, remote } : undefined;
}

export function localEnd({ localAddress, localPort }: Socket): Endpoint | undefined {
  return endpoint(localAddress, localPort);
}

export function remoteEnd({ remoteAddress, remotePort }: Socket): Endpoint | undefined {
  return endpoint(remoteAddress, remotePort);
}

/** Without the zone of a link-local address, which means nothing to others. */
function endpoint(text: string | undefined, port: number | undefined): Endpoint | undefined {
  const address = text === undefined ? undefined : canonicalAddress(text.split('%')[0] ?? '');
  return address === undefined || port === undefined ? undefined : { address, port };
}
