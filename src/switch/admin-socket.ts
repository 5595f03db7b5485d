/**
 * The place of the admin socket: makes its directory, takes it over from a process that died, and refuses
 * to take it from one that lives. Only root may use the socket: what it can do, close flows, has no other
 * guard.
 */
import { mkdirSync } from 'node:fs';
import { chmod, lstat, unlink } from 'node:fs/promises';
import type { Server } from 'node:net';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { SutureError } from '../platform/errors.js';

type Occupant = 'none' | 'alive' | 'dead';

/** Who listens at `path`: asks by connecting, since a socket file outlives its process. */
export async function socketOccupant(path: string): Promise<Occupant> {
  const stat = await lstat(path).catch(() => undefined);
  if (!stat) return 'none';
  if (!stat.isSocket()) {
    throw new SutureError(
      'SUT_CONFIG_INVALID',
      `admin: ${path} exists and is no socket; give another path, or remove it`,
    );
  }
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve('alive');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') return resolve('dead');
      if (error.code === 'ENOENT') return resolve('none');
      // A full backlog: someone is there, if slow.
      if (error.code === 'EAGAIN') return resolve('alive');
      reject(new SutureError('SUT_PERMISSION', `can not use ${path}: ${error.message}`, { cause: error }));
    });
  });
}

/** Listens at `path` with mode 0600. */
export async function listenAt(server: Server, path: string): Promise<void> {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const occupant = await socketOccupant(path);
    if (occupant === 'alive') {
      throw new SutureError(
        'SUT_ALREADY_RUNNING',
        `a switch is listening on ${path} already; stop it first, or give this one another name or admin path`,
      );
    }
    if (occupant === 'dead') await unlink(path);
    await bind(server, path);
  } catch (error) {
    if (error instanceof SutureError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    const message = `can not listen on the admin socket ${path} (${why}); run as root, or set admin in the config`;
    throw new SutureError('SUT_PERMISSION', message, { cause: error });
  }
}

async function bind(server: Server, path: string): Promise<void> {
  // The mask holds from the moment the file exists, which `listen` makes before it returns; the change of
  // mode afterwards alone would leave a gap. A worker thread can not set it: there it is up to its process.
  const before = isMainThread ? process.umask(0o177) : undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, () => {
        server.off('error', reject);
        resolve();
      });
      if (before !== undefined) process.umask(before);
    });
    await chmod(path, 0o600);
  } catch (error) {
    server.close();
    throw error;
  }
}
