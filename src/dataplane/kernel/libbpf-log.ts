/**
 * What libbpf says while it works. It only writes through a printf-like callback with a `va_list`, which on every
 * architecture that Suture runs on is passed as one pointer, so that libc's own vsnprintf can make text of it.
 *
 * The callback belongs to the process and not to a thread, so it is set only while a call runs: two threads must
 * not load objects at the same time.
 */
import { type Callback, callback, type Pointer } from '../../platform/ffi.js';
import { libbpf, libc } from './native.js';

/** Longer messages (a verifier's log, which comes by another way) are cut. */
const MESSAGE_BYTES = 4096;
const LEVEL_WARN = 0;

const message = Buffer.alloc(MESSAGE_BYTES);
let lines: string[] = [];
let printer: Callback | undefined;

function print(level: number, format: Pointer, args: Pointer): number {
  if (level !== LEVEL_WARN) return 0;
  const length = libc().vsnprintf(message, MESSAGE_BYTES, format, args);
  if (length > 0) lines.push(message.toString('utf8', 0, Math.min(length, MESSAGE_BYTES - 1)).trimEnd());
  return length;
}

/** Runs `work` and gives it a function that tells what libbpf warned of so far. */
export function withLibbpfLog<T>(work: (said: () => string) => T): T {
  const library = libbpf();
  printer ??= callback('int', ['int', 'void *', 'void *'], print);
  lines = [];
  library.libbpf_set_print(printer.pointer);
  try {
    return work(() => lines.join('\n'));
  } finally {
    library.libbpf_set_print(null);
  }
}
