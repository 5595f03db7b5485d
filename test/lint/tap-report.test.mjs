/** What the report of a run says of files that tap itself finds nothing wrong with. */
import t from 'tap';
import { TapReport } from '../../scripts/tap-report.mjs';

function reportOf(tap) {
  const report = new TapReport(() => {});
  report.push(`TAP version 14\n# Subtest: test/a.test.ts\n${tap}\n1..1\n`);
  report.end();
  return report;
}

t.test('a file that ended before its first test has failed', async (t) => {
  const report = reportOf(
    '    1..0 # no tests found\nok 1 - test/a.test.ts # SKIP no tests found # time=3ms',
  );
  t.equal(report.sums, '0 passed, 1 failed');
  t.strictSame(report.failures, ['test/a.test.ts']);
});

t.test('a file that is left out is named with its reason', async (t) => {
  const report = reportOf('    1..0 # no root\nok 1 - test/a.test.ts # SKIP no root');
  t.equal(report.sums, '0 passed, 0 failed');
  t.strictSame(report.skipped, ['test/a.test.ts: no root']);
});

t.test('a file with tests', async (t) => {
  const report = reportOf(
    '    # Subtest: one\n        ok 1 - so it is\n        1..1\n    ok 1 - one\n    1..1\nok 1 - test/a.test.ts',
  );
  t.equal(report.sums, '1 passed, 0 failed');
  t.strictSame(report.skipped, []);
});
