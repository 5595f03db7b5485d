/**
 * Slots of records that another connection got in the meantime: what still points to one must do nothing to it. Between
 * processors such a pointer lives for a moment only; here it is written into the map.
 */
import { tupleOf } from '../../src/wire/endpoint.js';
import type { Tuple } from '../../src/wire/tuple.js';
import { ISN } from '../flow/driver.js';
import { withKernel } from './support/driver.js';
import { rawFrame } from './support/frames.js';
import type { Kernel } from './support/kernel.js';
import { keyOf, tupleBytes } from './support/tuples.js';

const SHELL = { address: '10.2.0.2', port: 8080 };
const CORE = { address: '10.3.0.2', port: 8080 };
const peer = (port: number): Tuple => tupleOf({ address: '10.1.0.2', port }, SHELL);
const inner = (port: number): Tuple => tupleOf(CORE, { address: SHELL.address, port });
const SYN = 2;

function open(kernel: Kernel, tuple: Tuple): void {
  kernel.receive(
    rawFrame({
      tuple,
      seq: ISN.E,
      ack: 0,
      flags: SYN,
      window: 1000,
      length: 0,
      options: Buffer.from([2, 4, 5, 0xb4]),
    }),
    1000,
  );
}

/** A place of `tuple` that leads to the record in `slot`. */
function pointTo(kernel: Kernel, tuple: Tuple, slot: number, generation: number): void {
  const place = Buffer.alloc(8);
  place.writeUInt32LE(slot, kernel.field('place', 'slot').offset);
  place.writeUInt16LE(generation & 0xffff, kernel.field('place', 'generation').offset);
  kernel.maps.connections.update(keyOf(tupleBytes(tuple)), place);
}

withKernel('a connection is paired with its own record only', (t, kernel) => {
  kernel.own({ address: SHELL.address, from: 8080, to: 8080 });
  open(kernel, peer(40_000));
  const slot = kernel.placeOf(peer(40_000))?.slot ?? -1;
  const generation = kernel.generationOf(slot);
  for (const [name, by] of [
    ['of another generation', -2],
    ['of another tuple', 0],
  ] as const) {
    pointTo(kernel, peer(40_001), slot, generation + by);
    const { reply } = kernel.ask(
      { ask: kernel.number('ASK_PAIR'), outer: peer(40_001), inner: inner(20_000) },
      1000,
    );
    t.not(reply.answer, kernel.number('ANSWER_DONE'), name);
    t.equal(kernel.placeOf(inner(20_000)), undefined, `${name}: its inner connection leads nowhere`);
    kernel.maps.connections.delete(keyOf(tupleBytes(peer(40_001))));
  }
  const { reply } = kernel.ask(
    { ask: kernel.number('ASK_PAIR'), outer: peer(40_000), inner: inner(20_001) },
    1000,
  );
  t.equal(reply.answer, kernel.number('ANSWER_DONE'), 'the record is still free for its own flow');
  t.equal(kernel.unpairedCount(), 0);
  t.equal(kernel.reset(), undefined);
});

withKernel('an inner tuple that leads to another one’s record frees nothing', (t, kernel) => {
  kernel.own({ address: SHELL.address, from: 8080, to: 8080 });
  open(kernel, peer(40_000));
  open(kernel, peer(40_001));
  const slot = kernel.placeOf(peer(40_001))?.slot ?? -1;
  pointTo(kernel, inner(20_000), slot, kernel.generationOf(slot) - 2);
  const { reply } = kernel.ask(
    { ask: kernel.number('ASK_PAIR'), outer: peer(40_000), inner: inner(20_000) },
    1000,
  );
  t.equal(reply.answer, kernel.number('ANSWER_DONE'));
  t.equal(kernel.generationOf(slot) & 1, 1, 'the record is still in use');
  t.equal(kernel.unpairedCount(), 1);
  t.equal(kernel.reset(), undefined);
});
