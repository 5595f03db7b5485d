/** A flow engine in teardown mode `control`, with agents that answer after a while, or never. */
import type { StitchOffsets } from '../../../src/flow/endpoints.js';
import { FlowEngine } from '../../../src/flow/engine.js';
import type { Flow } from '../../../src/flow/flow.js';
import { Random } from './random.js';

const NEVER = Number.POSITIVE_INFINITY;
const LIMIT = 3_000;

export class HoldingEngine extends FlowEngine {
  /** What was held at some time, by kind. */
  readonly held: { fin: number; rst: number };
  private readonly answers: { readonly id: string; readonly from: 'peer' | 'core'; readonly at: number }[];
  private readonly random: Random;
  private now = 0;

  constructor(seed: number) {
    const held = { fin: 0, rst: 0 };
    super({ teardownLimit: LIMIT }, (flow, kind, from) => {
      if (kind === 'state' || !from || flow.mode !== 3) return;
      held[kind]++;
      this.answers.push({ id: flow.id, from, at: this.now + this.delay() });
    });
    this.held = held;
    this.answers = [];
    this.random = new Random(seed);
  }

  override receive(
    ...[tuple, segment, now]: Parameters<FlowEngine['receive']>
  ): ReturnType<FlowEngine['receive']> {
    this.now = now;
    return super.receive(tuple, segment, now);
  }

  override enable(id: string, offsets: StitchOffsets, now: number): Flow {
    this.now = now;
    return super.enable(id, offsets, now, 'control');
  }

  /** An answer and a tick are two calls; the tick can wait. */
  override tick(now: number): void {
    this.now = now;
    const due = this.answers.findIndex(({ at }) => at <= now);
    const [answer] = due < 0 ? [] : this.answers.splice(due, 1);
    if (answer && this.flow(answer.id)) this.proceed(answer.id, answer.from, now);
    else super.tick(now);
  }

  private delay(): number {
    return this.random.chance(0.2) ? NEVER : this.random.log(1, 2_000);
  }
}
