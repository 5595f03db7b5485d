/**
 * Transfers that last until a test has seen of them what it wants: however fast the machine is, the connection is still
 * busy then, and however slow, it has been stitched.
 */
import type { Ends, TransferResult } from './results.js';
import type { ClientOptions, Rig } from './rig.js';

export interface TransferArgs {
  readonly host: string;
  readonly port: number;
  readonly mode: 'down' | 'up' | 'both';
  /** Of each transfer: there are as many on the connection as it takes. */
  readonly bytes: number;
  readonly seed: number;
}

/** Transfers on one connection until it is stitched and `meanwhile` is done; what its client reported. */
export async function transferStitched(
  rig: Rig,
  args: TransferArgs,
  meanwhile: (ends: Ends) => Promise<void> = async () => undefined,
  options: ClientOptions = {},
): Promise<TransferResult> {
  const go = rig.go();
  const client = rig.startClient('transfer', { ...args, until: go.path }, options);
  const ends = await client.report<Ends>(0);
  await rig.stitched(ends);
  await meanwhile(ends);
  go.say();
  return client.report<TransferResult>(1, 120_000);
}
