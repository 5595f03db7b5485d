/** Work that takes a while, and that a signal ends in order: it is aborted, and is waited for until it has cleaned up. */
import { type SignalSource, STOP_SIGNALS } from '../platform/lifecycle.js';

export async function interruptible<T>(
  signals: SignalSource,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  for (const signal of STOP_SIGNALS) signals.on(signal, stop);
  try {
    return await work(abort.signal);
  } finally {
    for (const signal of STOP_SIGNALS) signals.off(signal, stop);
  }
}
