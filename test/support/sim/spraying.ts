/**
 * Two switches of a group that carry packets together: each packet takes the one or the other at random. The follower
 * learns of the flow's states a moment later, as by a table, and what it steers comes to the leader at once.
 */
import type { ConnectionEndpoints, OwnedPorts, StitchOffsets } from '../../../src/flow/endpoints.js';
import { type EngineListener, FlowEngine, Verdict } from '../../../src/flow/engine.js';
import type { Flow } from '../../../src/flow/flow.js';
import { isRestorable, type Past, type SavedFlow, saveFlow } from '../../../src/flow/restore.js';
import type { TcpSegment } from '../../../src/wire/segment.js';
import type { Tuple } from '../../../src/wire/tuple.js';
import { Random } from './random.js';
import { FLOW_ID, type SimEngine, type SimFlow } from './switch-node.js';
import { Witness } from './witness.js';

const LONGEST_DELAY_MS = 60;
/** One packet in so many finds that the leader has died. */
const DEATH = 1 / 100;

/** A switch of the group: an engine, or an engine with the kernel's program beside it. */
export interface Member extends SimEngine {
  flow(id: string): Flow | undefined;
  follow(following: Parameters<FlowEngine['follow']>[0], now: number): void;
  restore(id: string, ends: Ends, saved: SavedFlow, past: Past, now: number): unknown;
  drop(id: string): void;
}

export interface Ends {
  readonly outer: ConnectionEndpoints;
  readonly inner: ConnectionEndpoints;
}

interface Told {
  readonly at: number;
  readonly saved: SavedFlow | undefined;
  readonly past: Past | undefined;
}

export function engineMember(onEvent?: EngineListener): Member {
  return new FlowEngine({ shared: true }, onEvent);
}

export class SprayingEngine implements SimEngine {
  takeovers = 0;
  carried = 0;
  steered = 0;
  private ends: Ends | undefined;
  private readonly queue: Told[] = [];
  private readonly random: Random;
  private known = 0;
  private readonly witness = new Witness();
  private readonly owned: OwnedPorts[] = [];
  private last: Member;

  /**
   * `share`: of the packets, that take the follower. `heir`: makes a follower for one that has become the leader, because
   * that one died; without it, none does.
   */
  constructor(
    seed: number,
    private leader: Member,
    private follower: Member,
    private readonly share = 0.5,
    private readonly heir?: () => Member,
  ) {
    this.random = new Random(seed + 0x5123);
    this.last = leader;
  }

  get outbox() {
    return this.last.outbox;
  }

  get busy(): boolean {
    return this.leader.busy || this.queue.length > 0;
  }

  own(ports: OwnedPorts): void {
    this.leader.own(ports);
    this.witness.owned.push(ports);
    this.owned.push(ports);
    this.shells.push(ports.address);
    this.follower.follow({ shells: this.shells, knowsLeader: true }, 0);
  }

  private readonly shells: string[] = [];

  receive(tuple: Tuple, segment: TcpSegment, now: number): number {
    this.witness.note(tuple, segment, now);
    this.hear(now);
    if (this.heir && this.random.chance(DEATH)) this.succeed(this.heir(), now);
    if (this.random.chance(this.share)) {
      this.last = this.follower;
      const verdict = this.follower.receive(tuple, segment, now);
      if (verdict !== Verdict.Steer) {
        this.carried += 1;
        return verdict;
      }
      this.steered += 1;
    }
    this.last = this.leader;
    const verdict = this.leader.receive(tuple, segment, now);
    this.tell(now);
    return verdict;
  }

  tick(now: number): void {
    this.hear(now);
    this.last = this.leader;
    this.leader.tick(now);
    this.tell(now);
  }

  pair(id: string, outer: ConnectionEndpoints, inner: ConnectionEndpoints, now: number): void {
    this.ends = { outer, inner };
    this.last = this.leader;
    this.leader.pair(id, outer, inner, now);
  }

  enable(id: string, offsets: StitchOffsets, now: number): void {
    this.last = this.leader;
    this.leader.enable(id, offsets, now);
    this.tell(now);
  }

  close(id: string, now: number): void {
    this.last = this.leader;
    this.leader.close(id, now);
    this.tell(now);
  }

  flow(id: string): SimFlow | undefined {
    const flow = this.leader.flow(id);
    return flow?.restored ? this.witness.seen(flow) : flow;
  }

  /** The leader is gone, if the follower can go on with the flow; what that one steers meanwhile is lost. */
  private succeed(heir: Member, now: number): void {
    const [flow, copy] = [this.leader.flow(FLOW_ID), this.follower.flow(FLOW_ID)];
    // Once both ends have begun to leave, the ends alone know how far they have come.
    if (!flow || !copy || this.queue.length > 0 || flow.state !== copy.state || flow.state !== 'stitched')
      return;
    this.takeovers += 1;
    this.leader = this.follower;
    this.follower = heir;
    for (const ports of this.owned) this.leader.own(ports);
    this.leader.follow(undefined, now);
    heir.follow({ shells: this.shells, knowsLeader: true }, now);
    this.known = 0;
    this.tell(now);
  }

  /** The leader's flow has moved on: the follower is to know, some time. */
  private tell(now: number): void {
    const flow = this.leader.flow(FLOW_ID);
    if (!flow || flow.history.length === this.known) return;
    this.known = flow.history.length;
    const { state, outer, inner, history } = flow;
    const saved = saveFlow(flow);
    const up = { packets: outer.far.packets, bytes: outer.far.bytes };
    const down = { packets: inner.far.packets, bytes: inner.far.bytes };
    const past = isRestorable(state) ? { state, up, down, history: [...history] } : undefined;
    this.queue.push({ at: now + this.random.log(0.1, LONGEST_DELAY_MS), saved, past });
  }

  private hear(now: number): void {
    for (let told = this.queue[0]; told && told.at <= now; told = this.queue[0]) {
      this.queue.shift();
      this.follower.drop(FLOW_ID);
      if (told.saved && told.past && this.ends)
        this.follower.restore(FLOW_ID, this.ends, told.saved, told.past, now);
    }
  }
}
