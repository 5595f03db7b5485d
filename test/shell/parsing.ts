/** What every parser of a stream's beginning does, whatever it parses. */
import fc from 'fast-check';
import type { Test } from 'tap';

type Result = { readonly kind: string };

const RUNS = { numRuns: 300, interruptAfterTimeLimit: 5_000 };

/**
 * Fed byte by byte, it asks for more until the last byte of what it needs and then gives what it gives for the
 * whole; what comes behind changes nothing.
 */
export function feedsByteByByte<R extends Result>(
  t: Test,
  parse: (bytes: Buffer) => R,
  whole: Buffer,
  needed = whole.length,
): R {
  const result = parse(whole);
  t.not(result.kind, 'more', 'the whole is enough');
  for (let length = 0; length < needed; length++) {
    const { kind } = parse(Buffer.from(whole.subarray(0, length)));
    if (kind !== 'more')
      t.fail(`${kind} after ${length} of ${needed} bytes`, { whole: whole.toString('hex') });
  }
  t.strictSame(parse(Buffer.concat([whole.subarray(0, needed), Buffer.from('behind')])), result);
  return result;
}

/** Whatever it is given, it does not throw, and once it has decided more bytes change nothing. */
export function survivesAnything(parse: (bytes: Buffer) => Result, seeds: readonly Buffer[]): void {
  const mutated = fc
    .record({
      seed: fc.constantFrom(...seeds),
      changes: fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 6 }),
      cut: fc.nat(400),
    })
    .map(({ seed, changes, cut }) => {
      const bytes = Buffer.from(seed);
      for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
      return bytes.subarray(0, bytes.length - (cut % (bytes.length + 1)));
    });
  const random = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.oneof(mutated, random), fc.uint8Array({ maxLength: 40 }), (bytes, more) => {
      const first = parse(bytes);
      if (first.kind === 'more') return;
      const later = parse(Buffer.concat([bytes, more]));
      if (later.kind !== first.kind) throw new Error(`${first.kind}, and with more bytes ${later.kind}`);
    }),
    RUNS,
  );
}
