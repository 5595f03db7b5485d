/** The flow engine's driver by hand, on a twin; and all that is done before a test of the kernel's program can start. */
import t, { type Test } from 'tap';
import type { FlowEngine } from '../../../src/flow/engine.js';
import { Driver, type DriverOptions } from '../../flow/driver.js';
import { Kernel, whyNot } from './kernel.js';
import { Twin, type TwinOptions } from './twin.js';

const SHELL = '10.2.0.2';

export class TwinDriver extends Driver {
  override readonly engine: FlowEngine;

  constructor(
    readonly twin: Twin,
    options: DriverOptions = {},
  ) {
    super(options);
    // A twin has what the driver asks of an engine.
    this.engine = twin as unknown as FlowEngine;
    twin.own({ address: SHELL, from: 8080, to: 8080 });
    twin.own({ address: SHELL, from: 20_000, to: 20_009 });
  }
}

/** Runs `body` with the loaded program, or says why that can't be done here. */
export function withKernel(name: string, body: (t: Test, kernel: Kernel) => void | Promise<void>): void {
  const reason = whyNot();
  if (reason !== undefined) {
    t.comment(`${name}: not run: ${reason}`);
    t.test(name, { skip: reason }, () => {});
    return;
  }
  t.test(name, async (t) => {
    const kernel = await Kernel.load();
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
