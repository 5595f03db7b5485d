/**
 * The switch's side of discovery: says whether a datagram that was captured is answered, and with what.
 *
 * Answered is only who can be nothing but a neighbour: TTL 1 on arrival alone can be arranged from afar
 * (RFC 5082), so the source has to be on-link on the interface that it came in by as well. A reply is never
 * longer than its request, and each source gets a limited number of them. Nothing here throws or keeps time.
 */
import type { Endpoint } from '../../wire/endpoint.js';
import { TokenBucket } from '../bucket.js';
import type { Epoch } from '../service.js';
import {
  type Capability,
  decodeDatagram,
  encodeReply,
  MAX_INSTANCE_BYTES,
  MAX_NAME_BYTES,
  type SwitchFacts,
} from './codec.js';
import { inPrefix, isLinkLocal, isUnicast, type Prefix } from './prefix.js';

export const ALL_ROUTERS_V4 = '224.0.0.2';
export const ALL_ROUTERS_V6 = 'ff02::2';

/** What was captured, with what is known of the interface. Addresses are canonical text. */
export interface CapturedDatagram {
  readonly interface: string;
  /** The interface's own addresses, each with its prefix. */
  readonly prefixes: readonly Prefix[];
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  /** IPv4 TTL or IPv6 hop limit, as it arrived. */
  readonly ttl: number;
  readonly payload: Uint8Array;
}

const DISCOVERY_OUTCOMES = [
  'answered',
  'foreign',
  'unknown',
  'malformed',
  'tooShort',
  'notServed',
  'wrongTtl',
  'offLink',
  'own',
  'notForUs',
  'rateLimited',
  'noControl',
] as const;
export type DiscoveryOutcome = (typeof DISCOVERY_OUTCOMES)[number];

export interface DiscoveryAnswer {
  /** The name under which this datagram is counted. */
  readonly counter: DiscoveryOutcome;
  readonly reply?: {
    readonly bytes: Uint8Array;
    readonly address: string;
    readonly port: number;
    /** A link-local address means something only on it. */
    readonly interface: string;
  };
}

export interface ResponderOptions {
  readonly name: string;
  readonly capabilities: readonly Capability[];
  readonly epoch: () => Epoch;
  /** Where the control service listens: an address, or undefined where it listens on all of them. */
  readonly control: { readonly address?: string | undefined; readonly port: number };
  /** Interfaces on which requests are answered. */
  readonly interfaces: readonly string[];
  /** True for an address of this host, on whichever interface. */
  readonly isOwn?: (address: string) => boolean;
  readonly perSourceRate?: number;
  readonly perSourceBurst?: number;
  readonly overallRate?: number;
  readonly sources?: number;
}

const PER_SOURCE_RATE = 10;
const PER_SOURCE_BURST = 20;
const OVERALL_RATE = 1000;
const SOURCES = 1024;

export class Responder {
  private readonly tally = Object.fromEntries(DISCOVERY_OUTCOMES.map((name) => [name, 0])) as Record<
    DiscoveryOutcome,
    number
  >;
  private readonly served: ReadonlySet<string>;
  /** Those that asked last are at the end. */
  private readonly sources = new Map<string, TokenBucket>();
  private overall: TokenBucket | undefined;

  constructor(private readonly options: ResponderOptions) {
    const { name, interfaces, epoch } = options;
    this.served = new Set(interfaces);
    const length = Buffer.byteLength(name);
    if (length === 0 || length > MAX_NAME_BYTES) {
      throw new RangeError(`a switch's name of ${length} bytes; 1 to ${MAX_NAME_BYTES} expected`);
    }
    if (Buffer.byteLength(epoch().instance) > MAX_INSTANCE_BYTES) {
      throw new RangeError(`an instance of more than ${MAX_INSTANCE_BYTES} bytes`);
    }
  }

  /** `now` in monotonic milliseconds. */
  handle(datagram: CapturedDatagram, now: number): DiscoveryAnswer {
    const answer = this.answer(datagram, now);
    this.tally[answer.counter]++;
    return answer;
  }

  counters(): Record<DiscoveryOutcome, number> {
    return { ...this.tally };
  }

  private answer(datagram: CapturedDatagram, now: number): DiscoveryAnswer {
    const message = decodeDatagram(datagram.payload);
    if (message.kind === 'reply') return { counter: 'unknown' };
    if (message.kind !== 'request') return { counter: message.kind };
    const refusal = this.refusal(datagram);
    if (refusal) return { counter: refusal };
    const control = this.controlFor(datagram);
    if (!control) return { counter: 'noControl' };
    const { name, capabilities, epoch } = this.options;
    const facts: SwitchFacts = { name, capabilities, epoch: epoch(), control };
    const bytes = encodeReply(message.nonce, facts);
    if (bytes.length > datagram.payload.length) return { counter: 'tooShort' };
    if (!this.mayAnswer(datagram.source, now)) return { counter: 'rateLimited' };
    const { source: address, sourcePort: port } = datagram;
    return { counter: 'answered', reply: { bytes, address, port, interface: datagram.interface } };
  }

  private refusal({ source, sourcePort, destination, ttl, prefixes, ...rest }: CapturedDatagram) {
    const isOwn = (address: string): boolean =>
      prefixes.some((prefix) => prefix.address === address) || (this.options.isOwn?.(address) ?? false);
    if (!this.served.has(rest.interface)) return 'notServed';
    if (isOwn(source)) return 'own';
    if (ttl !== 1) return 'wrongTtl';
    if (sourcePort === 0 || !isUnicast(source)) return 'offLink';
    if (!prefixes.some((prefix) => inPrefix(source, prefix))) return 'offLink';
    if (destination === ALL_ROUTERS_V4 || destination === ALL_ROUTERS_V6 || isOwn(destination))
      return undefined;
    return 'notForUs';
  }

  /** An address of this switch that the asker reaches without another hop, where there is a choice. */
  private controlFor({ source, prefixes }: CapturedDatagram): Endpoint | undefined {
    const { address, port } = this.options.control;
    if (address !== undefined) return isLoopback(address) ? undefined : { address, port };
    const usable = prefixes.filter((prefix) => !isLinkLocal(prefix.address));
    const isV6 = source.includes(':');
    const best =
      usable.find((prefix) => inPrefix(source, prefix)) ??
      usable.find((prefix) => prefix.address.includes(':') === isV6) ??
      usable[0];
    return best && { address: best.address, port };
  }

  private mayAnswer(source: string, now: number): boolean {
    const { perSourceRate = PER_SOURCE_RATE, perSourceBurst = PER_SOURCE_BURST } = this.options;
    const { overallRate = OVERALL_RATE, sources = SOURCES } = this.options;
    let bucket = this.sources.get(source);
    if (!bucket) bucket = new TokenBucket(perSourceRate, perSourceBurst, now);
    this.sources.delete(source);
    this.sources.set(source, bucket);
    if (this.sources.size > sources) {
      for (const oldest of this.sources.keys()) {
        this.sources.delete(oldest);
        break;
      }
    }
    this.overall ??= new TokenBucket(overallRate, overallRate, now);
    return bucket.take(now) && this.overall.take(now);
  }
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}
