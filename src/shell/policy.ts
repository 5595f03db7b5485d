/** When to stitch: the route's policy and what is known of one connection, to a decision. Pure. */
import type { StitchPolicy } from '../platform/config/index.js';

export interface StitchFacts {
  /** Bytes relayed, both directions together. */
  readonly bytes: number;
  /** Milliseconds since the connection was accepted. */
  readonly age: number;
  /** Packets that the ends sent, both together, as the switch counts them: the shell sees none. */
  readonly packets: number;
  /** Share of a processor that the shell uses, 0 … 1. */
  readonly shellLoad: number;
}

export type Decision = 'stitch' | 'wait' | 'never';

const CONDITIONS = ['bytes', 'age', 'packets', 'shellLoad'] as const satisfies (keyof StitchFacts)[];

/** Of the conditions of `after`, all that are given must hold. */
export function decide(policy: StitchPolicy, facts: StitchFacts): Decision {
  if (policy === 'now') return 'stitch';
  if (policy === 'never') return 'never';
  const { after } = policy;
  return CONDITIONS.every((name) => facts[name] >= (after[name] ?? 0)) ? 'stitch' : 'wait';
}

/** True when the policy can only be decided with the switch's packet counters. */
export function needsPackets(policy: StitchPolicy): boolean {
  return typeof policy === 'object' && policy.after.packets !== undefined;
}
