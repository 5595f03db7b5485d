/** What a flow engine keeps to itself and a comparison has to see. */
import type { Connection } from '../../../src/flow/connection.js';
import type { ConnectionIndex } from '../../../src/flow/connection-index.js';
import type { FlowEngine } from '../../../src/flow/engine.js';
import type { Flow } from '../../../src/flow/flow.js';
import type { Outbox } from '../../../src/flow/outbox.js';

interface EngineInside {
  readonly index: ConnectionIndex;
  readonly out: Outbox;
  readonly stepper: { clear(): void };
  readonly progress: {
    readonly moving: ReadonlySet<Flow>;
    readonly holding: { readonly flows: ReadonlySet<Flow> };
    readonly closing: ReadonlySet<Flow>;
  };
}

interface ConnectionInside {
  readonly toldAny: boolean;
  readonly wasEstablished: boolean;
}

export function insideEngine(engine: FlowEngine): EngineInside {
  return engine as unknown as EngineInside;
}

export function insideConnection(connection: Connection): ConnectionInside {
  return connection as unknown as ConnectionInside;
}
