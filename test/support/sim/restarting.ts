/**
 * A flow engine that is taken away again and again while a flow is stitched, as a switch that dies: what it had in
 * memory is gone, some packets are lost, and a new engine goes on with what was saved at the flow's last event.
 */

import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from '../../../src/flow/endpoints.js';
import { FlowEngine, Verdict } from '../../../src/flow/engine.js';
import { isRestorable, type SavedFlow, saveFlow } from '../../../src/flow/restore.js';
import type { TcpSegment } from '../../../src/wire/segment.js';
import type { Tuple } from '../../../src/wire/tuple.js';
import { Random } from './random.js';
import { FLOW_ID, type SimEngine, type SimFlow } from './switch-node.js';
import { Witness } from './witness.js';

/** One packet in so many finds a dead switch, and so do those of the next milliseconds. */
const DEATH = 1 / 60;
const MOST_DEATHS = 4;
const LONGEST_MS = 30;

export class RestartingEngine implements SimEngine {
  restarts = 0;
  private engine = this.make();
  private readonly witness = new Witness();
  private saved: SavedFlow | undefined;
  private ends: { readonly outer: ConnectionEndpoints; readonly inner: ConnectionEndpoints } | undefined;
  private readonly owned: OwnedPorts[] = [];
  private readonly random: Random;
  private deadUntil = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  get outbox() {
    return this.engine.outbox;
  }

  get busy(): boolean {
    return this.engine.busy;
  }

  own(ports: OwnedPorts): void {
    this.owned.push(ports);
    this.witness.owned.push(ports);
    this.engine.own(ports);
  }

  receive(tuple: Tuple, segment: TcpSegment, now: number): number {
    const flow = this.engine.flow(FLOW_ID);
    if (flow && isRestorable(flow.state) && this.saved) {
      if (now >= this.deadUntil && this.restarts < MOST_DEATHS && this.random.chance(DEATH)) {
        this.deadUntil = now + this.random.log(0.01, LONGEST_MS);
        this.restart(now);
      }
      if (now < this.deadUntil) {
        this.engine.outbox.clear();
        return Verdict.Emit;
      }
    }
    this.witness.note(tuple, segment, now);
    return this.engine.receive(tuple, segment, now);
  }

  tick(now: number): void {
    this.engine.tick(now);
  }

  pair(id: string, outer: ConnectionEndpoints, inner: ConnectionEndpoints, now: number): unknown {
    this.ends = { outer, inner };
    return this.engine.pair(id, outer, inner, now);
  }

  enable(id: string, offsets: StitchOffsets, now: number): unknown {
    return this.engine.enable(id, offsets, now);
  }

  close(id: string, now: number): unknown {
    return this.engine.close(id, now);
  }

  flow(id: string): SimFlow | undefined {
    const flow = this.engine.flow(id);
    return flow?.restored ? this.witness.seen(flow) : flow;
  }

  private make(): FlowEngine {
    return new FlowEngine({}, (flow) => {
      this.saved = saveFlow(flow);
    });
  }

  private restart(now: number): void {
    const before = this.engine.flow(FLOW_ID);
    const { ends, saved } = this;
    if (!before || !ends || !saved || !isRestorable(before.state)) return;
    this.restarts += 1;
    this.engine = this.make();
    for (const ports of this.owned) this.engine.own(ports);
    const { state, history, outer, inner } = before;
    const past = { state, history, up: outer.far, down: inner.far };
    this.engine.restore(FLOW_ID, ends, saved, past, now);
  }
}
