import fc from 'fast-check';
import t from 'tap';
import { figure, reaches } from '../../bench/support/document.js';
import {
  distribution,
  mean,
  median,
  quantile,
  ratios,
  rotated,
  spreadOf,
} from '../../bench/support/stats.js';
import { numberText, spreadText, targetText, tickText } from '../../bench/support/text.js';

t.test('quantiles', async (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 3, 2]), 2.5);
  t.equal(quantile([10, 20, 30, 40, 50], 0.25), 20);
  t.equal(quantile([0, 10], 0.99), 9.9);
  t.equal(quantile([7], 0.99), 7);
  t.ok(Number.isNaN(median([])));
  t.equal(mean([1, 2, 6]), 3);
  t.strictSame(spreadOf([5, 1, 3]), { n: 3, median: 3, min: 1, max: 5, q1: 2, q3: 4 });
});

t.test('a quantile is as many values up as it says', async () => {
  const values = fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 1, maxLength: 50 });
  fc.assert(
    fc.property(values, fc.double({ noNaN: true, min: 0, max: 1 }), (list, share) => {
      const value = quantile(list, share);
      const below = list.filter((one) => one < value - 1e-9).length;
      const above = list.filter((one) => one > value + 1e-9).length;
      const place = share * (list.length - 1);
      return below <= Math.ceil(place) && above <= list.length - 1 - Math.floor(place);
    }),
    { interruptAfterTimeLimit: 2000 },
  );
});

t.test('ratios pair what was measured in one run', async (t) => {
  t.strictSame(ratios([2, 9], [1, 3]), [2, 3]);
  t.throws(() => ratios([1], [1, 2]), RangeError);
});

t.test('rotation keeps all and changes who is first', async (t) => {
  t.strictSame(rotated([1, 2, 3], 0), [1, 2, 3]);
  t.strictSame(rotated([1, 2, 3], 4), [2, 3, 1]);
  t.strictSame(rotated([], 4), []);
});

t.test('a distribution rises to one', async (t) => {
  t.strictSame(distribution([3, 1]), [
    [1, 0.5],
    [3, 1],
  ]);
});

t.test('figures know whether they are met', async (t) => {
  const bound = { bound: 'at least', value: 2 } as const;
  t.equal(figure('a', 'x', '', [1, 2, 3], bound).met, true);
  t.equal(figure('a', 'x', '', [1, 1, 3], bound).met, false);
  t.notOk('met' in figure('a', 'x', '', [1]));
  t.equal(reaches(5, { bound: 'at most', value: 5 }), true);
  t.equal(reaches(5.1, { bound: 'at most', value: 5 }), false);
  t.equal(reaches(Number.NaN, { bound: 'at most', value: 5 }), false, 'nothing measured meets nothing');
});

t.test('numbers as text', async (t) => {
  for (const [value, text] of [
    [0, '0'],
    [0.04567, '0.0457'],
    [1, '1.00'],
    [17.37, '17.4'],
    [999.6, '1,000'],
    [1234567.8, '1,234,568'],
    [-2.5, '-2.50'],
    [Number.NaN, '-'],
  ] as const) {
    t.equal(numberText(value), text);
  }
  t.equal(tickText(1500000), '1,500,000');
  t.equal(tickText(0.25), '0.25');
  t.equal(spreadText(spreadOf([1, 2, 3])), '2.00 (1.00 … 3.00)');
  t.equal(spreadText(spreadOf([2])), '2.00');
  t.equal(targetText({ bound: 'at most', value: 640 }), '≤ 640');
});
