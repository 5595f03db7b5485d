/** What a flow engine keeps to itself and a comparison has to see. */
import type { Connection } from '../../../src/flow/connection.js';
import type { ConnectionIndex } from '../../../src/flow/connection-index.js';
import type { FlowEngine } from '../../../src/flow/engine.js';
import type { Flow } from '../../../src/flow/flow.js';
import type { Outbox } from '../../../src/flow/outbox.js';

interface EngineInside {
  readonly index: ConnectionIndex;
  readonly stepper: {
    readonly outbox: Outbox;
    readonly moving: ReadonlySet<Flow>;
    readonly holding: { readonly flows: ReadonlySet<Flow> };
    readonly closing: ReadonlySet<Flow>;
    clear(): void;
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
