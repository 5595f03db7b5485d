/**
 * Native libraries: loading them, calling their functions, callbacks from them, and raw memory. The only file
 * that touches `koffi`.
 *
 * What holds for every caller: a Buffer passed for a `void *` parameter is handed over in place, without a copy,
 * and is only safe until the call returns. Whoever writes `address(buffer)` into a struct keeps the buffer
 * referenced for as long as native code may use it.
 *
 * koffi is loaded on first use, so that a host for which it has no binary can still run everything else.
 */
import { createRequire } from 'node:module';
import { SutureError } from './errors.js';

type Koffi = typeof import('koffi');

/** An address in this process; never 0 (that is null). */
export type Pointer = bigint;
/** What a `void *` parameter takes. */
export type Memory = Uint8Array | Pointer | null;

const LIBC = 'libc.so.6';

let loaded: Koffi | undefined;

function koffi(): Koffi {
  if (loaded) return loaded;
  try {
    const require = createRequire(import.meta.url);
    loaded = require('koffi') as Koffi;
    return loaded;
  } catch (error) {
    const why = `koffi does not load: ${firstLine(error)}; run \`npm ci\` on this host, it has binaries for its system`;
    throw new SutureError('SUT_DATAPLANE_UNAVAILABLE', why, { cause: error });
  }
}

/**
 * Loads a shared library and binds the functions of `prototypes`, C declarations by name, of which none may be
 * missing. `mend` ends the message when that fails.
 */
export function bindLibrary<F extends object>(
  file: string,
  prototypes: Readonly<Record<keyof F & string, string>>,
  mend: string,
): F {
  try {
    const library = koffi().load(file);
    const bound = Object.entries<string>(prototypes).map(([name, prototype]) => [
      name,
      library.func(prototype),
    ]);
    return Object.fromEntries(bound) as F;
  } catch (error) {
    if (error instanceof SutureError) throw error;
    throw new SutureError('SUT_DATAPLANE_UNAVAILABLE', `${file}: ${firstLine(error)}; ${mend}`, {
      cause: error,
    });
  }
}

interface Libc {
  memcpy(target: Memory, source: Memory, length: number): unknown;
}

let libc: Libc | undefined;

/** Copies `length` bytes from native memory to the start of `target`. Allocates nothing. */
export function copyFrom(source: Pointer, target: Uint8Array, length: number): void {
  if (length > target.length) throw new RangeError(`${length} bytes do not fit in ${target.length}`);
  libc ??= bindLibrary<Libc>(
    LIBC,
    { memcpy: 'void *memcpy(void *target, const void *source, size_t length)' },
    'install libc6',
  );
  libc.memcpy(target, source, length);
}

/** A copy of native memory. */
export function readMemory(source: Pointer, length: number): Buffer {
  const copy = Buffer.alloc(length);
  copyFrom(source, copy, length);
  return copy;
}

/** Where a buffer's bytes are, for a field of a struct. */
export function address(buffer: Uint8Array): Pointer {
  return koffi().address(buffer);
}

/** The calling thread's errno; only of use right after a call. */
export function lastErrno(): number {
  return koffi().errno();
}

/** A JavaScript function that native code may call on this thread until it is released. */
export interface Callback {
  readonly pointer: Pointer;
  release(): void;
}

/** `fn` may not throw: native code would be given 0 and the error would be lost. */
export function callback(
  result: string,
  parameters: readonly string[],
  // biome-ignore lint/suspicious/noExplicitAny: the parameters are given by the C types beside it
  fn: (...args: any[]) => unknown,
): Callback {
  const pointer = koffi().register(fn, koffi().pointer(koffi().proto(result, [...parameters])));
  return { pointer, release: () => koffi().unregister(pointer) };
}

/** Watches a descriptor that Node knows nothing of. */
export interface Watch {
  /** After this `onReadable` is not called any more. Does not close the descriptor. */
  close(): void;
}

/**
 * Calls `onReadable` in a turn of its own of this thread's event loop whenever the descriptor has something to
 * read, again and again until it has not (libuv's uv_poll, level-triggered). Keeps the loop alive.
 */
export function watchReadable(fd: number, onReadable: () => void): Watch {
  let scheduled: NodeJS.Immediate | undefined;
  // koffi calls back from within libuv, outside of Node's own frame: an exception there would have nobody to
  // catch it, and promises would not be settled afterwards.
  const wake = (): void => {
    scheduled ??= setImmediate(() => {
      scheduled = undefined;
      onReadable();
    });
  };
  const handle = koffi().node.poll(fd, { readable: true }, wake);
  return {
    close: () => {
      handle.close();
      clearImmediate(scheduled);
    },
  };
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}
