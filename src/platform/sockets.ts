/**
 * What `node:net` leaves to its user: a reset that is never lost, a reset that is never mistaken for an
 * orderly end, and a connect that ends in time.
 */
import { readSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { Clock } from './clock.js';
import type { HostPort } from './config/index.js';
import { SutureError } from './errors.js';

/**
 * Closes with a RST. libuv refuses that while a shutdown is under way (EINVAL), and Node then forgets the
 * handle with its descriptor open; a shutdown without data before it is over within one turn, so wait.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.connecting) {
    socket.destroy();
  } else if (socket.writableEnded && !socket.writableFinished) {
    socket.once('finish', () => resetSocket(socket));
  } else {
    socket.resetAndDestroy();
  }
}

/**
 * Whether what `node:net` just reported as 'end' was a reset. When data and a RST are both waiting as the
 * event loop wakes up, libuv reads the data, sees the hang-up and reports an end without another read; the
 * pending ECONNRESET stays in the socket. One more read tells: 0 after a FIN, an error after a RST.
 */
export function wasReset(socket: Socket): boolean {
  const fd = descriptorOf(socket);
  if (fd === undefined) return false;
  try {
    // After an end there is nothing to read; a byte here would be lost to the stream.
    return readSync(fd, new Uint8Array(1)) !== 0;
  } catch {
    return true;
  }
}

function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
}

/** Time for the other end to take the last words and to close. */
const LAST_WORDS_MS = 2_000;

/**
 * Closes in order after some last words. What the other end still sends is read and thrown away: a close with
 * unread bytes is a reset, which may destroy the words before they are read (RFC 9293 section 3.6).
 */
export async function closeWithWords(
  socket: Socket,
  words: Buffer,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  if (socket.destroyed) return;
  const over = new AbortController();
  socket.once('close', () => over.abort());
  socket.resume();
  socket.end(words);
  await clock.sleep(LAST_WORDS_MS, AbortSignal.any([over.signal, signal])).catch(() => {});
}

/** Probes on a quiet connection find out that its other end is gone (RFC 9293 section 3.8.4). */
export interface KeepaliveOptions {
  readonly keepAlive: boolean;
  readonly keepAliveInitialDelay?: number;
}

/** `quietMs`: before the first probe; libuv sends ten more, a second apart. 0: none at all. */
export function keepaliveOptions(quietMs: number): KeepaliveOptions {
  return quietMs === 0 ? { keepAlive: false } : { keepAlive: true, keepAliveInitialDelay: quietMs };
}

export interface ConnectRequest {
  readonly to: HostPort;
  /** Undefined: the kernel chooses. */
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly timeoutMs: number;
  readonly keepalive?: KeepaliveOptions;
  /** Gives the attempt up. */
  readonly signal: AbortSignal;
}

/** A paused, connected socket, or a rejection with the system's error or SUT_TIMEOUT. */
export async function openConnection(request: ConnectRequest, clock: Clock): Promise<Socket> {
  const { to, localAddress, localPort, timeoutMs, keepalive, signal } = request;
  signal.throwIfAborted();
  const socket = connect({
    host: to.address,
    port: to.port,
    ...(localAddress === undefined ? {} : { localAddress }),
    ...(localPort === undefined ? {} : { localPort }),
    allowHalfOpen: true,
    noDelay: true,
    ...keepalive,
  });
  socket.pause();
  // Whoever gets it adds a listener of their own; an error before that shows as `destroyed`.
  socket.on('error', () => {});
  const onAbort = (): void => void socket.destroy(asError(signal.reason));
  signal.addEventListener('abort', onAbort, { once: true });
  const cancel = clock.after(timeoutMs, () => socket.destroy(timeoutError(to, timeoutMs)));
  try {
    return await new Promise<Socket>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('connect', () => resolve(socket));
    });
  } finally {
    cancel();
    signal.removeEventListener('abort', onAbort);
  }
}

function timeoutError(to: HostPort, timeoutMs: number): SutureError {
  return new SutureError(
    'SUT_TIMEOUT',
    `${to.address} port ${to.port} did not answer within ${timeoutMs} ms; check that it is up and routed`,
  );
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

/** The system's code of an error (`ECONNREFUSED`), or ours (`SUT_TIMEOUT`). */
export function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return typeof code === 'string' ? code : 'UNKNOWN';
}

/**
 * True when the port can't be used now but another may. libuv binds with SO_REUSEADDR, so a port whose last
 * connection to the same endpoint lives or is in TIME-WAIT fails only at connect, with EADDRNOTAVAIL, and
 * before a SYN is sent. The same code at bind means that the address is not this host's.
 */
export function isPortBusy(error: unknown): boolean {
  const { code, syscall } = (error ?? {}) as { readonly code?: unknown; readonly syscall?: unknown };
  return code === 'EADDRINUSE' || (code === 'EADDRNOTAVAIL' && syscall === 'connect');
}
