/**
 * What the kernel does with an open socket when its process dies: a FIN, as if all had been said, or a reset. The
 * option for it is SO_LINGER with a time of 0, which `node:net` does not have.
 */
import type { Socket } from 'node:net';
import { bindLibrary } from './ffi.js';

interface Libc {
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
}

const SOL_SOCKET = 1;
const SO_LINGER = 13;
/** `struct linger`: whether it is on, and a time in seconds; each an int. */
const LINGER_BYTES = 8;
const ABORT = new Uint8Array(new Int32Array([1, 0]).buffer);
const ORDERLY = new Uint8Array(LINGER_BYTES);

/** Null where native code can't be loaded: then a death looks like an end, as it does without this file. */
let libc: Libc | null | undefined;

/** From now on every close of this socket is a reset, its process's death included. */
export function closeByReset(socket: Socket): void {
  setLinger(socket, ABORT);
}

/** To be called before what is said is ended in order: a close may not take the last bytes back then. */
export function closeInOrder(socket: Socket): void {
  setLinger(socket, ORDERLY);
}

/** Fails without a word: on a socket that has died there is nothing to set. */
function setLinger(socket: Socket, value: Uint8Array): void {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
  const fd = handle?.fd ?? -1;
  if (fd >= 0) load()?.setsockopt(fd, SOL_SOCKET, SO_LINGER, value, LINGER_BYTES);
}

function load(): Libc | null {
  if (libc !== undefined) return libc;
  try {
    const prototype = 'int setsockopt(int fd, int level, int name, const void *value, uint32_t length)';
    libc = bindLibrary<Libc>('libc.so.6', { setsockopt: prototype }, 'install libc6');
  } catch {
    libc = null;
  }
  return libc;
}
