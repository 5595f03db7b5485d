/** The flow engine as the data path of a twin has it. */
import { FlowEngine, type Verdict } from '../../../src/flow/engine.js';
import type { Emission, Outbox } from '../../../src/flow/outbox.js';
import type { TcpSegment } from '../../../src/wire/segment.js';
import type { Tuple } from '../../../src/wire/tuple.js';

/** Keeps the verdict, and takes any MSS, so that nothing is split. */
export class WatchedEngine extends FlowEngine {
  verdict: Verdict | undefined;

  override receive(tuple: Tuple, segment: TcpSegment, now: number): Verdict {
    this.verdict = super.receive(tuple, segment, now);
    return this.verdict;
  }

  /** As the data path sees it: of receivers whose MSS nobody knows. */
  override get outbox(): Outbox {
    const outbox = super.outbox;
    const at = (index: number): Emission => {
      const { tuple, segment, made } = outbox.at(index);
      return { tuple, segment, made, mss: 0 };
    };
    return { count: outbox.count, at } as Outbox;
  }

  override get passMss(): number {
    return 0;
  }
}
