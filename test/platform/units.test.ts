import fc from 'fast-check';
import t from 'tap';
import {
  formatDuration,
  formatSize,
  formatTimeWindow,
  humanDuration,
  humanSize,
  parseDuration,
  parseSize,
  parseTimeWindow,
} from '../../src/platform/units.js';

t.test('durations', async (t) => {
  for (const [text, ms] of [
    ['0s', 0],
    ['200ms', 200],
    ['10s', 10_000],
    ['1.5s', 1_500],
    ['2m', 120_000],
    ['2h4m', 7_440_000],
    ['2h 4m', 7_440_000],
    ['1 m 30 s', 90_000],
    [3, 3_000],
    [0.25, 250],
  ] as const) {
    t.equal(parseDuration(text), ms, String(text));
  }
  for (const wrong of [
    '',
    '10',
    'soon',
    '5 minutes',
    '-1s',
    '1d',
    's',
    '1e3s',
    -1,
    Number.NaN,
    Infinity,
    null,
    true,
    [1],
  ]) {
    t.equal(parseDuration(wrong), undefined, String(wrong));
  }
});

t.test('sizes', async (t) => {
  for (const [text, bytes] of [
    [0, 0],
    [1500, 1500],
    ['1500', 1500],
    ['12B', 12],
    ['64k', 65_536],
    ['64K', 65_536],
    ['1M', 1_048_576],
    ['1 MB', 1_048_576],
    ['1MiB', 1_048_576],
    ['1.5G', 1_610_612_736],
  ] as const) {
    t.equal(parseSize(text), bytes, String(text));
  }
  for (const wrong of ['', 'k', '1T', '-1k', '0.3', '1 k B', '1iB', 1.5, -1, Number.NaN, 2 ** 60, null, {}]) {
    t.equal(parseSize(wrong), undefined, String(wrong));
  }
});

t.test('what is formatted reads back', async (t) => {
  const limit = { interruptAfterTimeLimit: 2_000 };
  fc.assert(
    fc.property(fc.nat(10 ** 10), (ms) => parseDuration(formatDuration(ms)) === ms),
    limit,
  );
  fc.assert(
    fc.property(fc.maxSafeNat(), (bytes) => parseSize(formatSize(bytes)) === bytes),
    limit,
  );
  fc.assert(
    fc.property(
      fc.nat(5_000),
      fc.constantFrom(2 ** 10, 2 ** 20, 2 ** 30),
      (n, unit) => parseSize(formatSize(n * unit)) === n * unit,
    ),
    limit,
  );
  t.equal(formatDuration(7_440_000), '2h4m');
  t.equal(formatDuration(1_500), '1s500ms');
  t.equal(formatDuration(0), '0s');
  t.equal(formatSize(1_048_576), '1M');
  t.equal(formatSize(1_000), 1_000);
});

t.test('for people', async (t) => {
  t.strictSame([0, 1023, 1536, 1_048_576, 2 ** 41].map(humanSize), [
    '0 B',
    '1023 B',
    '1.5 KiB',
    '1.0 MiB',
    '2.0 TiB',
  ]);
  t.strictSame([0, 999, 1_000, 59_949, 59_950, 200_000, 3_600_000, 90_000_000].map(humanDuration), [
    '0 ms',
    '999 ms',
    '1.0 s',
    '59.9 s',
    '1 m 0 s',
    '3 m 20 s',
    '1 h 0 m',
    '1 d 1 h',
  ]);
});

t.test('windows of a day', async (t) => {
  for (const [text, from, to] of [
    ['08:00-18:30', 480, 1110],
    ['22:00-06:00', 1320, 360],
    ['00:00-24:00', 0, 1440],
    ['23:59-00:00', 1439, 0],
  ] as const) {
    t.same(parseTimeWindow(text), { from, to });
    t.equal(formatTimeWindow({ from, to }), text);
  }
  t.same(parseTimeWindow(' 08:00 - 09:00 '), { from: 480, to: 540 });
  for (const wrong of [
    '',
    '8-18',
    '08:00',
    '08:60-09:00',
    '08:00-09:60',
    '24:00-01:00',
    '08:00-24:01',
    '08:00-08:00',
    800,
    null,
  ]) {
    t.equal(parseTimeWindow(wrong), undefined, String(wrong));
  }
});
