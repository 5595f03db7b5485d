import fc from 'fast-check';
import t from 'tap';
import {
  type ControlType,
  controlFrame,
  FrameDecoder,
  FrameType,
  frameHeader,
  MAX_DATA_BYTES,
  POSITION_BYTES,
  positionOf,
  positionPayload,
  TOKEN_BYTES,
} from '../../../src/midcom/link/codec.js';
import { drawToken, PREFIX_BYTES, prefixOf, TokenBook, tokenOf } from '../../../src/midcom/link/token.js';

type Seen = string | [ControlType, string];

/** Pieces of data are put together again, since their number means nothing. */
class Recorder {
  readonly seen: Seen[] = [];

  data(piece: Buffer): void {
    const last = this.seen.at(-1);
    if (typeof last === 'string') this.seen[this.seen.length - 1] = last + piece.toString('hex');
    else this.seen.push(piece.toString('hex'));
  }

  control(type: ControlType, payload: Buffer): void {
    this.seen.push([type, payload.toString('hex')]);
  }
}

function decode(bytes: Buffer, cuts: readonly number[]): Seen[] {
  const [decoder, recorder] = [new FrameDecoder(), new Recorder()];
  let at = 0;
  for (const cut of [...cuts, bytes.length]) {
    // The chunk is overwritten afterwards, as a stream may do with its own.
    const chunk = Buffer.from(bytes.subarray(at, Math.max(at, cut)));
    if (chunk.length > 0) decoder.push(chunk, recorder);
    chunk.fill(0xee);
    at = Math.max(at, cut);
  }
  return recorder.seen;
}

const control = fc.oneof(
  fc.tuple(
    fc.constantFrom(FrameType.End, FrameType.Switch),
    fc.uint8Array({ minLength: POSITION_BYTES, maxLength: POSITION_BYTES }),
  ),
  fc.tuple(
    fc.constantFrom(
      FrameType.Prepare,
      FrameType.Prepared,
      FrameType.Refused,
      FrameType.Attached,
      FrameType.Abandon,
    ),
    fc.uint8Array({ minLength: TOKEN_BYTES, maxLength: TOKEN_BYTES }),
  ),
  fc.tuple(fc.constant(FrameType.Ask), fc.uint8Array({ maxLength: 0 })),
);
const frame = fc.oneof(control, fc.uint8Array({ minLength: 1, maxLength: 300 }));

t.test('any frames, in any pieces', async (t) => {
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 12 }),
      fc.array(fc.nat(2000), { maxLength: 20 }),
      (frames, cuts) => {
        const recorder = new Recorder();
        const bytes = Buffer.concat(
          frames.map((one) => {
            if (!Array.isArray(one)) {
              recorder.data(Buffer.from(one));
              return Buffer.concat([frameHeader(FrameType.Data, one.length), one]);
            }
            const [type, payload] = one as [ControlType, Uint8Array];
            recorder.control(type, Buffer.from(payload));
            return controlFrame(type, Buffer.from(payload));
          }),
        );
        t.strictSame(
          decode(
            bytes,
            cuts.sort((a, b) => a - b),
          ),
          recorder.seen,
        );
        t.strictSame(decode(bytes, [...bytes.keys()]), recorder.seen, 'byte by byte');
      },
    ),
    { numRuns: 100 },
  );
});

t.test('vectors, so that another implementation can be held against this one', async (t) => {
  const vectors: [hex: string, seen: Seen[]][] = [
    // Data "hi", End after 2 bytes.
    ['01 00000002 6869  02 00000008 0000000000000002', ['6869', [FrameType.End, '0000000000000002']]],
    // Ask; Switch at 2³².
    [
      '03 00000000  09 00000008 0000000100000000',
      [
        [FrameType.Ask, ''],
        [FrameType.Switch, '0000000100000000'],
      ],
    ],
    // Nothing yet: a header that has not come in full, a payload that has not.
    ['01 000000', []],
    ['02 00000008 000000', []],
  ];
  for (const [hex, seen] of vectors)
    t.strictSame(decode(Buffer.from(hex.replaceAll(' ', ''), 'hex'), []), seen, hex);
});

t.test('what can not be is an error', async (t) => {
  const wrong: Record<string, Buffer> = {
    'an unknown type': frameHeader(77 as FrameType, 0),
    'type 0': frameHeader(0 as FrameType, 0),
    'data of no bytes': frameHeader(FrameType.Data, 0),
    'data that is too long': frameHeader(FrameType.Data, MAX_DATA_BYTES + 1),
    'an end without a position': frameHeader(FrameType.End, 0),
    'a token that is too long': frameHeader(FrameType.Prepare, TOKEN_BYTES + 1),
    'an ask that says something': frameHeader(FrameType.Ask, 1),
  };
  for (const [what, bytes] of Object.entries(wrong))
    t.throws(() => decode(bytes, []), { code: 'SUT_LINK' }, what);
});

t.test('positions', async (t) => {
  for (const position of [0, 1, 2 ** 32, Number.MAX_SAFE_INTEGER])
    t.equal(positionOf(positionPayload(position)), position);
  t.throws(() => positionOf(Buffer.alloc(POSITION_BYTES, 0xff)), { code: 'SUT_LINK' });
});

t.test('tokens are good for one connection, and only in full', async (t) => {
  const book = new TokenBook<string>();
  const [token, other] = [drawToken(), drawToken()];
  t.equal(prefixOf(token).length, PREFIX_BYTES);
  t.same(tokenOf(prefixOf(token)), token);
  t.equal(tokenOf(Buffer.alloc(PREFIX_BYTES)), undefined);
  t.equal(tokenOf(prefixOf(token).subarray(1)), undefined);
  t.ok(book.add(token, 'one'));
  t.notOk(book.add(token, 'two'), 'a number that is taken');
  t.equal(book.take(other), undefined);
  const forged = Buffer.from(token);
  forged.writeUInt8(forged.readUInt8(TOKEN_BYTES - 1) ^ 1, TOKEN_BYTES - 1);
  t.equal(book.take(forged), undefined, 'the number alone is not enough');
  t.equal(book.take(token), 'one');
  t.equal(book.take(token), undefined, 'once');
  t.equal(book.size, 0);
});
