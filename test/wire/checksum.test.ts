import t from 'tap';
import {
  finishChecksum,
  foldSum,
  sumBytes,
  updateChecksum,
  updateChecksumSums,
} from '../../src/wire/checksum.js';
import { naiveSum, pattern } from './helpers.js';

t.test('the example of RFC 1071 section 3', async (t) => {
  const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
  t.equal(sumBytes(bytes, 0, bytes.length, 0), 0x2ddf0);
  t.equal(foldSum(0x2ddf0), 0xddf2);
  t.equal(finishChecksum(0x2ddf0), 0x220d);
});

t.test('an odd last byte counts as the upper half of a word', async (t) => {
  t.equal(sumBytes(Uint8Array.of(1, 2, 3), 0, 3, 0), 0x0402);
  t.equal(sumBytes(Uint8Array.of(9, 1, 2, 3, 9), 1, 4, 0x10), 0x0412);
});

t.test('every start and length, in views at every alignment, sums as the naive way does', async (t) => {
  const store = pattern(4096);
  for (let offset = 0; offset < 5; offset++) {
    const bytes = store.subarray(offset, 4000 + offset);
    for (let start = 0; start < 9; start++) {
      for (const length of [
        0, 1, 2, 3, 60, 127, 128, 129, 130, 131, 132, 133, 159, 160, 161, 1448, 1449, 3900,
      ]) {
        const end = start + length;
        const wanted = naiveSum(bytes.subarray(start, end));
        const got = foldSum(sumBytes(bytes, start, end, 0));
        if (got !== wanted) t.equal(got, wanted, `view +${offset}, ${start}…${end}`);
      }
    }
  }
  t.pass('all compared');
});

t.test('the largest sums stay exact', async (t) => {
  const ones = new Uint8Array(65536).fill(0xff);
  t.equal(foldSum(sumBytes(ones, 0, 65535, 0)), naiveSum(ones.subarray(0, 65535)));
  t.equal(foldSum(sumBytes(ones, 1, 65536, 0)), naiveSum(ones.subarray(1)));
  const zeros = new Uint8Array(65536);
  t.equal(foldSum(sumBytes(zeros, 3, 65536, 0)), 0, 'nothing but zeros folds to 0');
  zeros[40001] = 0xff;
  zeros[40002] = 0xff;
  zeros[40000] = 0xff;
  zeros[40003] = 0xff;
  t.equal(foldSum(sumBytes(zeros, 0, 65536, 0)), 0xffff, 'other multiples of 0xffff do not');
});

t.test('buffers that take turns are each read from their own memory', async (t) => {
  const buffers = [pattern(512, 1), pattern(512, 2), pattern(512, 3)];
  for (let round = 0; round < 4; round++) {
    for (const bytes of buffers) {
      t.equal(foldSum(sumBytes(bytes, 0, 512, 0)), naiveSum(bytes));
      bytes[round] ^= 0x55;
      t.equal(foldSum(sumBytes(bytes, 0, 512, 0)), naiveSum(bytes), 'and as it is now');
    }
  }
});

t.test('RFC 1624 section 4: equation 3 gives 0000 where equation 2 gave FFFF', async (t) => {
  t.equal(updateChecksum(0xdd2f, 0x5555, 0x3285), 0x0000);
});

t.test('a 32-bit value that wraps is not a ones-complement addition', async (t) => {
  // Sequence number 0xffffff00 plus 0x200: as a number the delta is 0x200, as words it is not.
  const bytes = Uint8Array.of(0xff, 0xff, 0xff, 0x00, 0x12, 0x34);
  const check = finishChecksum(naiveSum(bytes));
  const after = Uint8Array.of(0x00, 0x00, 0x01, 0x00, 0x12, 0x34);
  t.equal(updateChecksumSums(check, 0xffff + 0xff00, 0x0000 + 0x0100), finishChecksum(naiveSum(after)));
});

t.test('a checksum of FFFF, which some senders write for 0000, becomes the right one', async (t) => {
  // The other words sum to ffff: the checksum is 0000.
  const rest = [0x1234, 0xedcb];
  t.equal(finishChecksum(rest[0] + rest[1]), 0);
  t.equal(updateChecksum(0xffff, 0x1234, 0x1235), finishChecksum(0x1235 + 0xedcb));
});

t.test('ranges', async (t) => {
  const before = pattern(36, 7);
  const after = pattern(36, 8);
  const check = finishChecksum(naiveSum(before));
  const wanted = finishChecksum(naiveSum(after));
  t.equal(updateChecksumSums(check, sumBytes(before, 0, 36, 0), sumBytes(after, 0, 36, 0)), wanted);
});
