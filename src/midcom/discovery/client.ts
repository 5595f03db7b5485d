/**
 * The agent's side of discovery: asks the neighbours of its only way out for a switch.
 *
 * A reply counts only with the nonce of this search, from a neighbour, and well formed; anything else is
 * counted and waited past, so that nobody off the link can name a switch.
 */
import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import type { Clock } from '../../platform/clock.js';
import type { Endpoint } from '../../wire/endpoint.js';
import { DEFAULT_DISCOVERY_PORT, type Epoch, type MidcomLog } from '../service.js';
import { type Capability, decodeDatagram, encodeRequest, NONCE_BYTES, type SwitchFacts } from './codec.js';
import { inPrefix, isLinkLocal, type Prefix } from './prefix.js';
import { ALL_ROUTERS_V4, ALL_ROUTERS_V6 } from './responder.js';
import { type DiscoverySocket, type OpenSocket, openUdpSocket } from './socket.js';
import { readWays, type Way } from './ways.js';

/** Datagrams that were no answer. */
export interface IgnoredReplies {
  wrongNonce: number;
  malformed: number;
  offLink: number;
}

export type DiscoveryResult =
  | {
      readonly available: true;
      readonly interface: string;
      readonly switch: string;
      readonly control: Endpoint;
      readonly capabilities: readonly Capability[];
      readonly epoch: Epoch;
      readonly ignored: Readonly<IgnoredReplies>;
    }
  | {
      readonly available: false;
      readonly reason: 'no-way' | 'several-ways' | 'no-answer';
      /** For people. */
      readonly message: string;
      readonly interfaces: readonly string[];
      readonly ignored: Readonly<IgnoredReplies>;
    };

export interface DiscoverOptions {
  readonly clock: Clock;
  readonly log: MidcomLog;
  readonly signal?: AbortSignal;
  readonly port?: number;
  readonly tries?: number;
  /** The first wait; each one after is twice as long. */
  readonly firstWaitMs?: number;
  readonly ways?: () => Promise<readonly Way[]>;
  /** Addresses of an interface with their prefixes. */
  readonly prefixes?: (name: string) => readonly Prefix[];
  readonly openSocket?: OpenSocket;
  readonly random?: () => number;
  readonly nonce?: () => Uint8Array;
}

const TRIES = 3;
const FIRST_WAIT_MS = 500;

export async function discover(options: DiscoverOptions): Promise<DiscoveryResult> {
  options.signal?.throwIfAborted();
  const ways = await (options.ways ?? readWays)();
  const interfaces = ways.map((way) => way.interface);
  const [way] = ways;
  if (way === undefined) {
    const message = 'this host has no way out: no interface that is up has a route; set its network up';
    return unavailable('no-way', message, interfaces);
  }
  if (ways.length > 1) {
    const message =
      `this host has ${ways.length} ways out (${interfaces.join(', ')}), and a switch must be on the only one; ` +
      "take down those that are not needed, or name the switch in the config as 'switch: HOST:PORT'";
    return unavailable('several-ways', message, interfaces);
  }
  return new Search(options, way).run();
}

class Search {
  private readonly ignored: IgnoredReplies = { wrongNonce: 0, malformed: 0, offLink: 0 };
  private readonly prefixes: readonly Prefix[];
  private readonly nonce: Uint8Array;
  private readonly answered = new AbortController();
  private facts: SwitchFacts | undefined;

  constructor(
    private readonly options: DiscoverOptions,
    private readonly way: Way,
  ) {
    this.prefixes = (options.prefixes ?? interfacePrefixes)(way.interface);
    this.nonce = options.nonce?.() ?? randomBytes(NONCE_BYTES);
  }

  async run(): Promise<DiscoveryResult> {
    const { tries = TRIES, firstWaitMs = FIRST_WAIT_MS, signal } = this.options;
    const sockets = await this.openAll();
    let waited = 0;
    try {
      for (let i = 0; i < tries && !this.facts; i++) {
        // The same datagram each time, so that a late answer to an earlier one counts (RFC 6887 section 8.1.1).
        await this.sendAll(sockets);
        waited += await this.wait(firstWaitMs * 2 ** i);
        signal?.throwIfAborted();
      }
    } finally {
      for (const { socket } of sockets) socket.close();
    }
    const { interface: name } = this.way;
    if (!this.facts) {
      const seconds = (waited / 1000).toFixed(1);
      const message =
        `no switch answered on ${name} (${tries} tries in ${seconds} s); it has to be the next hop and to ` +
        "serve that link, or be named in the config as 'switch: HOST:PORT'";
      return unavailable('no-answer', message, [name], this.ignored);
    }
    const { name: found, control, capabilities, epoch } = this.facts;
    return {
      available: true,
      interface: name,
      switch: found,
      control,
      capabilities,
      epoch,
      ignored: this.ignored,
    };
  }

  private async openAll(): Promise<{ socket: DiscoverySocket; targets: string[] }[]> {
    const { openSocket = openUdpSocket, log } = this.options;
    const opened = [];
    for (const family of ['ipv4', 'ipv6'] as const) {
      const own = this.prefixes.find(({ address }) => address.includes(':') === (family === 'ipv6'));
      if (!own) continue;
      const onMessage = (bytes: Uint8Array, from: string): void => this.take(bytes, from);
      const request = { family, interface: this.way.interface, address: own.address, onMessage };
      const socket = await openSocket(request).catch((error: unknown) => {
        log.debug({ family, err: error }, 'discovery has no socket of this family');
      });
      if (socket) opened.push({ socket, targets: this.targets(family) });
    }
    return opened;
  }

  private targets(family: 'ipv4' | 'ipv6'): string[] {
    const zone = `%${this.way.interface}`;
    const gateways = this.way.gateways.filter((address) => address.includes(':') === (family === 'ipv6'));
    if (family === 'ipv4') return [ALL_ROUTERS_V4, ...gateways];
    return [
      ALL_ROUTERS_V6 + zone,
      ...gateways.map((address) => (isLinkLocal(address) ? address + zone : address)),
    ];
  }

  private async sendAll(sockets: { socket: DiscoverySocket; targets: string[] }[]): Promise<void> {
    const { port = DEFAULT_DISCOVERY_PORT, log } = this.options;
    const request = encodeRequest(this.nonce);
    const sends = sockets.flatMap(({ socket, targets }) =>
      targets.map((target) =>
        socket.send(request, port, target).catch((error: unknown) => {
          log.debug({ target, err: error }, 'a discovery datagram was not sent');
        }),
      ),
    );
    await Promise.all(sends);
  }

  /** Until there is an answer, at most `ms` give or take a tenth. Gives the time that it was to take. */
  private async wait(ms: number): Promise<number> {
    const { clock, signal, random = Math.random } = this.options;
    const wait = ms * (0.9 + random() * 0.2);
    const until = signal ? AbortSignal.any([signal, this.answered.signal]) : this.answered.signal;
    await clock.sleep(wait, until).catch(() => undefined);
    return wait;
  }

  private take(bytes: Uint8Array, from: string): void {
    const message = decodeDatagram(bytes);
    if (!this.prefixes.some((prefix) => inPrefix(from, prefix))) this.ignored.offLink++;
    else if (message.kind !== 'reply') this.ignored.malformed++;
    else if (!Buffer.from(message.nonce).equals(this.nonce)) this.ignored.wrongNonce++;
    else if (!this.facts) {
      this.facts = message.facts;
      this.answered.abort();
    }
  }
}

function unavailable(
  reason: 'no-way' | 'several-ways' | 'no-answer',
  message: string,
  interfaces: readonly string[],
  ignored: IgnoredReplies = { wrongNonce: 0, malformed: 0, offLink: 0 },
): DiscoveryResult {
  return { available: false, reason, message, interfaces, ignored };
}

export function interfacePrefixes(name: string): Prefix[] {
  return (networkInterfaces()[name] ?? []).flatMap(({ address, cidr }) => {
    const length = Number(cidr?.split('/')[1]);
    return Number.isInteger(length) ? [{ address, length }] : [];
  });
}
