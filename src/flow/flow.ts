/** A flow: one outer and one inner connection, and what joins them. Only `engine.ts` moves it between states. */
import type { Connection } from './connection.js';
import type { StitchOffsets } from './endpoints.js';
import type { FlowReason, FlowState, TeardownMode } from './state.js';

/** Which way the bytes take. The state's name says it to people; this says it to the packet path. */
export const Mode = {
  /** Everything by way of the shell. */
  Relay: 0,
  /** As `Relay`, with the windows that the shell offers limited. */
  Clamp: 1,
  /** Below the cuts by way of the shell, from the cuts on directly. */
  Drain: 2,
  /** Everything directly. */
  Direct: 3,
  /** Reset by the switch: whatever an end still sends is answered with a reset. */
  Dead: 4,
} as const;
export type Mode = (typeof Mode)[keyof typeof Mode];

export class Flow {
  state: FlowState = 'watched';
  reason: FlowReason | undefined;
  mode: Mode = Mode.Relay;
  /** The shell's wish, kept until both handshakes are complete. */
  wanted: StitchOffsets | undefined;
  /** What is done with a FIN or a RST once the flow is stitched; set with the wish. */
  teardown: TeardownMode = 'core';
  /** When the present state must have been left, or what is held must go on, ms; 0 for never. */
  deadline = 0;
  /** When a FIN that went on is sent once more, ms, and how often it was. */
  resendAt = 0;
  resends = 0;
  /** What was sent to the shell while stitched. */
  toShellPackets = 0;
  toShellBytes = 0;
  /** Taken over from another switch: its numbers are to be learned from its packets (`restore.ts`). */
  restored = false;
  /** Of a copy (`carry.ts`): its end has begun, so all of its packets are the leader's. */
  yielded = false;
  readonly history: { readonly state: FlowState; readonly at: number }[] = [];

  constructor(
    readonly id: string,
    readonly outer: Connection,
    readonly inner: Connection,
  ) {
    outer.flow = this;
    inner.flow = this;
    outer.other = inner;
    inner.other = outer;
  }

  /** The switch answers for the ends' FINs, and passes neither FIN nor RST on by itself. */
  get holdsEnds(): boolean {
    return this.teardown === 'control' || this.teardown === 'shell';
  }
}
