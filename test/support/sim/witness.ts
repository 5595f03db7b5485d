/** What the far ends sent, seen by one who never dies: a switch that takes over may leave the counters behind. */
import { Connection } from '../../../src/flow/connection.js';
import type { OwnedPorts } from '../../../src/flow/endpoints.js';
import type { Flow } from '../../../src/flow/flow.js';
import { destinationOf } from '../../../src/wire/endpoint.js';
import { TcpFlag, type TcpSegment } from '../../../src/wire/segment.js';
import type { Tuple } from '../../../src/wire/tuple.js';
import type { SimFlow } from './switch-node.js';

export class Witness {
  readonly owned: OwnedPorts[] = [];
  private readonly connections: Partial<Record<'outer' | 'inner', Connection>> = {};

  note(tuple: Tuple, segment: TcpSegment, now: number): void {
    const isSyn = segment.has(TcpFlag.Syn);
    const side = segment.has(TcpFlag.Ack) ? 'inner' : 'outer';
    const isFromFar = this.owned.some((ports) => isOf(ports, tuple));
    if (!isFromFar) return;
    if (isSyn) this.connections[side] ??= new Connection(side, tuple, tuple.reversed(), now);
    for (const x of Object.values(this.connections)) {
      if (!x.toShell.equals(tuple)) continue;
      if (isSyn) x.noteSyn(segment, false);
      x.trackFar(segment, now);
    }
  }

  /** The flow, with the counters that it would have if nothing had been lost. */
  seen(flow: Flow): SimFlow {
    const { outer, inner } = this.connections;
    if (!outer || !inner) return flow;
    const { state, reason, history } = flow;
    return { state, reason, history, outer, inner };
  }
}

function isOf({ address, from, to }: OwnedPorts, tuple: Tuple): boolean {
  const end = destinationOf(tuple);
  return end.address === address && end.port >= from && end.port <= to;
}
