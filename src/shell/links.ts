/** The links of a shell: one to each core agent that a route names, whatever number of routes does. */
import { LinkClient, type StreamRequest } from '../midcom/link/client.js';
import type { FrameStream } from '../midcom/link/frame-stream.js';
import type { LinkState } from '../midcom/port.js';
import type { Clock } from '../platform/clock.js';
import type { ShellConfig } from '../platform/config/index.js';
import { SutureError } from '../platform/errors.js';
import type { Logger } from '../platform/log.js';
import { type Endpoint, formatEndpoint } from '../wire/endpoint.js';
import type { Route } from './routes.js';

export interface LinksOptions {
  readonly config: Pick<ShellConfig, 'link' | 'name'>;
  readonly routes: readonly Route[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly onChange: () => void;
}

export class Links {
  readonly #clients = new Map<string, LinkClient>();

  constructor({ config: { link, name }, routes, clock, log, onChange }: LinksOptions) {
    if (!link) return;
    for (const route of routes) {
      const to = route.kind === 'fixed' ? route.via?.to : undefined;
      if (!to || this.#clients.has(formatEndpoint(to))) continue;
      const client = new LinkClient({ to, name, ...link, clock, log, onChange });
      this.#clients.set(formatEndpoint(to), client);
      warnOfOpenLink(to, link.auth.mode, log);
    }
  }

  get states(): LinkState[] {
    return [...this.#clients.values()].map(({ to, up, streams }) => ({
      endpoint: to,
      connections: up ? 1 : 0,
      streams,
    }));
  }

  start(): void {
    for (const client of this.#clients.values()) client.start();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.stop()));
  }

  async open(link: Endpoint, request: StreamRequest): Promise<FrameStream> {
    const client = this.#clients.get(formatEndpoint(link));
    if (!client) throw new SutureError('SUT_LINK', `there is no link to ${formatEndpoint(link)}`);
    return client.open(request);
  }
}

function warnOfOpenLink({ address, port }: Endpoint, mode: 'psk' | 'none', log: Logger): void {
  if (mode !== 'none' || address === '::1' || address.startsWith('127.')) return;
  log.warn(
    { link: formatEndpoint({ address, port }) },
    'link.auth is none: whoever answers there gets the connections; use it on a trusted network only',
  );
}
