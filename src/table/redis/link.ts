/**
 * One connection to a Redis (or to a cluster, or to the master that sentinels name), for as long as it lasts.
 *
 * It does not reconnect: who uses it opens another one, so that nothing is ever sent a second time unseen, or
 * waits in a queue of the client library's own. Every command has a time limit. What goes wrong is a `TableFault`.
 */
import { readFile } from 'node:fs/promises';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { Clock } from '../../platform/clock.js';
import type { HostPort, RedisTarget } from '../../platform/config/index.js';
import { within } from '../../platform/deadline.js';
import { faultOf, TableFault } from './faults.js';

/** A connection that does not close in order is cut after this. */
const DISCONNECT_MS = 500;
/** A cluster in which a slot moves: how often a command is sent again before it counts as refused, and after what. */
const MAX_REDIRECTIONS = 5;
const REDIRECTION_MS = 50;

export type RedisClient = Redis | Cluster;

export interface LinkOptions {
  readonly target: RedisTarget;
  /** A PEM file of certificate authorities, read for every connection; without one those of the system. */
  readonly ca?: string | undefined;
  /** How long one command may take. */
  readonly timeoutMs: number;
  /** For `CLIENT LIST`. */
  readonly name: string;
  readonly clock: Clock;
}

export class Link {
  private readonly over = new AbortController();
  private isOpen = true;

  private constructor(
    private readonly client: RedisClient,
    private readonly options: LinkOptions,
  ) {
    client.once('end', () => {
      this.isOpen = false;
      this.over.abort();
    });
  }

  /** Aborts when the connection is gone, whoever ended it. */
  get gone(): AbortSignal {
    return this.over.signal;
  }

  /** The signal ends the attempt, not what came of it. */
  static async open(options: LinkOptions, signal?: AbortSignal): Promise<Link> {
    const { target, timeoutMs, clock } = options;
    const client = clientFor(options, await readAuthorities(options));
    // What the library knows of the cause comes as an event; its rejection says only that there is no connection.
    const causes: unknown[] = [];
    const note = (cause: unknown): void => void (causes.length < 1 && causes.push(cause));
    client.on('error', note);
    client.on('node error', note);
    // Sentinels are asked one after the other, then the master.
    const limit = timeoutMs * (target.kind === 'server' ? 2 : target.nodes.length + 2);
    const giveUp = (): void => client.disconnect();
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      signal?.throwIfAborted();
      await within(clock, limit, client.connect(), () => late(limit));
      // A database that there isn't is no reason for the library to give up.
      if (target.kind !== 'cluster' && causes.length > 0) throw causes[0];
    } catch (error) {
      client.disconnect();
      throw faultOf(causes[0] ?? error);
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
    return new Link(client, options);
  }

  async ask<T>(command: (client: RedisClient) => Promise<T>): Promise<T> {
    const { clock, timeoutMs } = this.options;
    this.check();
    try {
      return await within(clock, timeoutMs, command(this.client), () => late(timeoutMs));
    } catch (error) {
      throw faultOf(error);
    }
  }

  /** Throws when the connection is gone. */
  check(): void {
    if (!this.isOpen) throw new TableFault('unreachable', 'the connection was lost');
  }

  close(): void {
    this.isOpen = false;
    this.client.disconnect();
  }
}

function late(ms: number): TableFault {
  return new TableFault('no-answer', `no answer within ${ms} ms`);
}

async function readAuthorities({ ca, target }: LinkOptions): Promise<string | undefined> {
  if (ca === undefined || !target.tls) return undefined;
  try {
    return await readFile(ca, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TableFault('error', `its certificate authorities can't be read: ${why}`, { cause: error });
  }
}

function clientFor({ target, timeoutMs, name }: LinkOptions, ca: string | undefined): RedisClient {
  const { kind, nodes, master, db, user, password, sentinelUser, sentinelPassword } = target;
  const tls = target.tls ? { tls: ca === undefined ? {} : { ca } } : {};
  const common: RedisOptions = {
    lazyConnect: true,
    autoResendUnfulfilledCommands: false,
    connectTimeout: timeoutMs,
    disconnectTimeout: DISCONNECT_MS,
    disableClientInfo: true,
    connectionName: name,
    ...(user !== undefined && { username: user }),
    ...(password !== undefined && { password }),
    ...tls,
  };
  if (kind === 'cluster') {
    return new Cluster(nodes.map(hostOf), {
      lazyConnect: true,
      clusterRetryStrategy: () => null,
      maxRedirections: MAX_REDIRECTIONS,
      retryDelayOnTryAgain: REDIRECTION_MS,
      retryDelayOnClusterDown: REDIRECTION_MS,
      retryDelayOnFailover: REDIRECTION_MS,
      slotsRefreshTimeout: timeoutMs,
      // Names are left as they are where certificates are checked against them.
      ...(target.tls && { dnsLookup: (host, done) => done(null, host) }),
      redisOptions: common,
    });
  }
  const once = { ...common, db, retryStrategy: () => null };
  if (kind === 'server') return new Redis({ ...once, ...nodes.map(hostOf)[0] });
  return new Redis({
    ...once,
    sentinels: nodes.map(hostOf),
    name: master ?? '',
    sentinelRetryStrategy: () => null,
    sentinelCommandTimeout: timeoutMs,
    ...(sentinelUser !== undefined && { sentinelUsername: sentinelUser }),
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    ...(tls.tls && { enableTLSForSentinelMode: true, sentinelTLS: tls.tls }),
  });
}

function hostOf({ address, port }: HostPort): { host: string; port: number } {
  return { host: address, port };
}
