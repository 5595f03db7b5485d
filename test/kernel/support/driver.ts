/** The flow engine's driver by hand, on a twin; and all that is done before a test of the kernel's program can start. */
import t, { type Test } from 'tap';
import type { ConnectionEndpoints } from '../../../src/flow/endpoints.js';
import type { FlowEngine } from '../../../src/flow/engine.js';
import type { Outbox } from '../../../src/flow/outbox.js';
import { destinationOf, type Endpoint, sourceOf, tupleOf } from '../../../src/wire/endpoint.js';
import type { Tuple } from '../../../src/wire/tuple.js';
import { Driver, type DriverOptions, type From, OUTER, TUPLES } from '../../flow/driver.js';
import { Kernel } from './kernel.js';
import { Twin, type TwinOptions } from './twin.js';
import { whyNot } from './why-not.js';

const NAMES = Object.keys(TUPLES) as From[];
const ADDRESSES_6: Readonly<Record<string, string>> = {
  '10.1.0.2': 'fd00:201:1::2',
  '10.2.0.2': 'fd00:201:2::2',
  '10.3.0.2': 'fd00:201:3:ffff::2',
};

export type Family = 4 | 6;

function endpointIn(family: Family, { address, port }: Endpoint): Endpoint {
  return { address: family === 6 ? (ADDRESSES_6[address] as string) : address, port };
}

function endsIn(family: Family, { local, remote }: ConnectionEndpoints): ConnectionEndpoints {
  return { local: endpointIn(family, local), remote: endpointIn(family, remote) };
}

export class TwinDriver extends Driver {
  override readonly engine: FlowEngine;
  readonly tuples: Readonly<Record<From, Tuple>>;

  constructor(
    readonly twin: Twin,
    options: DriverOptions = {},
    readonly family: Family = 4,
  ) {
    super(options);
    const inFamily = (tuple: Tuple): Tuple =>
      tupleOf(endpointIn(family, sourceOf(tuple)), endpointIn(family, destinationOf(tuple)));
    this.tuples = Object.fromEntries(NAMES.map((name) => [name, inFamily(TUPLES[name])])) as Record<
      From,
      Tuple
    >;
    // A twin has what the driver asks of an engine.
    this.engine = this.asEngine() as unknown as FlowEngine;
    const { address } = endpointIn(family, OUTER.local);
    twin.own({ address, from: 8080, to: 8080 });
    twin.own({ address, from: 20_000, to: 20_009 });
  }

  private asEngine(): Pick<FlowEngine, 'outbox' | 'receive' | 'tick' | 'flow'> &
    Pick<Twin, 'pair' | 'enable' | 'proceed'> {
    const { twin } = this;
    return {
      get outbox() {
        return { count: 0 } as Outbox;
      },
      flow: (id) => twin.flow(id),
      tick: (now) => twin.tick(now),
      enable: (id, offsets, now, teardown) => twin.enable(id, offsets, now, teardown),
      proceed: (id, from, now) => twin.proceed(id, from, now),
      pair: (id, outer, inner, now) => this.pairAs(id, outer, inner, now),
      receive: (tuple, segment, now) => {
        const name = NAMES.find((from) => TUPLES[from] === tuple);
        return twin.receive(name ? this.tuples[name] : tuple, segment, now);
      },
    };
  }

  pairAs(id: string, outer: ConnectionEndpoints, inner: ConnectionEndpoints, now: number): void {
    this.twin.pair(id, endsIn(this.family, outer), endsIn(this.family, inner), now);
  }
}

/** Runs `body` with the loaded program, or says why that can't be done here. */
export function withKernel(
  name: string,
  body: (t: Test, kernel: Kernel) => void | Promise<void>,
  constants: Readonly<Record<string, number>> = {},
): void {
  const reason = whyNot();
  if (reason !== undefined) {
    t.comment(`${name}: not run: ${reason}`);
    t.test(name, { skip: reason }, () => {});
    return;
  }
  t.test(name, async (t) => {
    const kernel = await Kernel.load(constants);
    t.teardown(() => kernel.close());
    await body(t, kernel);
  });
}

/** A run of a twin from its making to its end, where nothing may be left over. */
export function withTwin(kernel: Kernel, body: (twin: Twin) => void, options: TwinOptions = {}): void {
  const twin = new Twin(kernel, options);
  try {
    body(twin);
    twin.end();
  } catch (error) {
    kernel.reset();
    throw error;
  }
}
