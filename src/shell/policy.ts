/** When to stitch: the route's policy and what is known of one connection, to a decision. Pure. */
import type { StitchConditions, StitchPolicy } from '../platform/config/index.js';
import { formatDuration, formatSize, formatTimeWindow } from '../platform/units.js';
import type { ConnectionType } from './arrival.js';
import { matchesName } from './names/patterns.js';

export interface StitchFacts {
  /** Bytes relayed, both directions together. */
  readonly bytes: number;
  /** Milliseconds since the connection was accepted. */
  readonly age: number;
  /** Packets that the ends sent, both together, as the switch counts them: the shell sees none. */
  readonly packets: number;
  /** Share of a processor that the shell uses, 0 … 1. */
  readonly shellLoad: number;
  /** Minutes since midnight, in the shell's time zone. */
  readonly timeOfDay: number;
  readonly type: ConnectionType;
  /** The name that the connection is for, if it gave one. */
  readonly name: string | undefined;
}

export type Decision = 'stitch' | 'wait' | 'never';

interface Condition {
  /** For people. */
  readonly text: string;
  readonly holds: boolean;
  /** It will never change. */
  readonly forGood?: boolean;
}

/** One connection's policy, asked again and again while the connection is relayed. */
export class Judge {
  readonly #policy: StitchPolicy;
  /** Texts of the conditions that held when it was last asked. */
  #held: ReadonlySet<string> = new Set();
  #cause: readonly string[] = [];

  constructor(policy: StitchPolicy) {
    this.#policy = policy;
  }

  /** What made the last decision to stitch; the condition that came true last is the first. */
  get cause(): readonly string[] {
    return this.#cause;
  }

  /** Of the conditions of `after`, all that are given must hold at the same time. */
  decide(facts: StitchFacts): Decision {
    const policy = this.#policy;
    if (policy === 'never') return 'never';
    if (policy === 'now') {
      this.#cause = ['now'];
      return 'stitch';
    }
    const conditions = conditionsOf(policy.after, facts);
    const holding = conditions.filter(({ holds }) => holds).map(({ text }) => text);
    const before = this.#held;
    this.#held = new Set(holding);
    if (holding.length === conditions.length) {
      this.#cause = [...holding].sort((a, b) => Number(before.has(a)) - Number(before.has(b)));
      return 'stitch';
    }
    return conditions.some(({ holds, forGood }) => !holds && forGood) ? 'never' : 'wait';
  }
}

function conditionsOf(after: StitchConditions, facts: StitchFacts): Condition[] {
  const { bytes, age, packets, shellLoad, timeOfDay, type } = after;
  const found: (Condition | undefined)[] = [
    bytes === undefined ? undefined : { text: `bytes>=${formatSize(bytes)}`, holds: facts.bytes >= bytes },
    age === undefined ? undefined : { text: `age>=${formatDuration(age)}`, holds: facts.age >= age },
    packets === undefined ? undefined : { text: `packets>=${packets}`, holds: facts.packets >= packets },
    shellLoad === undefined
      ? undefined
      : { text: `shellLoad>=${shellLoad}`, holds: facts.shellLoad >= shellLoad },
    timeOfDay && {
      text: `timeOfDay=${formatTimeWindow(timeOfDay)}`,
      holds: isWithin(timeOfDay, facts.timeOfDay),
    },
    type && typeCondition(type, facts),
  ];
  return found.filter((condition) => condition !== undefined);
}

/** A window that ends before it begins goes over midnight. */
function isWithin({ from, to }: { readonly from: number; readonly to: number }, minute: number): boolean {
  return from < to ? minute >= from && minute < to : minute >= from || minute < to;
}

/** What a connection is does not change, so one look is enough. */
function typeCondition(types: readonly string[], { type, name }: StitchFacts): Condition {
  const fits = types.find((one) => one === type || (name !== undefined && matchesName(one, name)));
  return { text: `type=${fits ?? types.join('|')}`, holds: fits !== undefined, forGood: true };
}

/** True when the policy can only be decided with the switch's packet counters. */
export function needsPackets(policy: StitchPolicy): boolean {
  return typeof policy === 'object' && policy.after.packets !== undefined;
}

/** True when the policy can only be decided with what the first bytes of a connection say. */
export function needsType(policy: StitchPolicy): boolean {
  return typeof policy === 'object' && policy.after.type !== undefined;
}

/** Minutes since midnight where this program runs, of milliseconds since the Unix epoch. */
export function minuteOfDay(wall: number): number {
  const date = new Date(wall);
  return date.getHours() * 60 + date.getMinutes();
}
