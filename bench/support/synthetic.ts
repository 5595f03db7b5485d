/**
 * Flows that nobody has: entries in the tables of a running switch's data path, to see what a full table costs.
 *
 * The one place that knows how they are made. The userspace data path keeps its flows in the engine and has no
 * way to put any there; so there are none of them, and `scale` measures one flow.
 */
import type { ConfigObject } from '#suture/lab/stage.js';
import type { Lab } from './labs.js';

export interface SyntheticFlows {
  /** Adds as many, none of which any packet belongs to. The time is that of the insertion alone. */
  insertSynthetic(count: number): Promise<{ readonly seconds: number }>;
  /** What the kernel holds for the data path's flows, and how many there are. */
  kernelMemory(): Promise<{ readonly bytes: number; readonly flows: number }>;
}

/** What a switch needs in its config to take a million of them. */
export const SYNTHETIC_CONFIG: ConfigObject = {};

/** Undefined when this data path has no such thing. */
export async function syntheticFlows(_lab: Lab, _dataplane: string): Promise<SyntheticFlows | undefined> {
  return undefined;
}
