/** Plain descriptions of what a flow is made of, as the control part names them. */
import type { Endpoint } from '../wire/endpoint.js';

/** TCP ports `from` … `to` (both inclusive) of one address, whose packets the data path carries. */
export interface OwnedPorts {
  readonly address: string;
  readonly from: number;
  readonly to: number;
}

/** A TCP connection of the shell's: `local` is the shell's end, `remote` the peer's or the core's. */
export interface ConnectionEndpoints {
  readonly local: Endpoint;
  readonly remote: Endpoint;
}

/** Bytes that the shell read without passing them on (`consumed`) or wrote of its own (`injected`). */
export interface StitchOffsets {
  /** Read from the peer and not written to the core. */
  readonly consumedFromPeer: number;
  /** Written to the core that the peer never sent. */
  readonly injectedToCore: number;
  readonly consumedFromCore: number;
  readonly injectedToPeer: number;
}
