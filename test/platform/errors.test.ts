import { readFileSync } from 'node:fs';
import t from 'tap';
import { asSutureError, ERROR_CODES, exitCodeOf, SutureError } from '../../src/platform/errors.js';

t.test('docs/ERRORS.md lists each code once, in the same order, with meaning and mend', async (t) => {
  const text = readFileSync(new URL('../../docs/ERRORS.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| `(SUT_\w+)` \|(.*)\|$/gm)];
  t.strictSame(
    rows.map(([, code]) => code),
    [...ERROR_CODES],
  );
  for (const [, code, rest = ''] of rows) {
    const cells = rest.split('|').map((cell) => cell.trim());
    t.equal(cells.length, 3, `${code}: exit code, meaning, mend`);
    for (const cell of cells) t.not(cell, '');
    const exit = exitCodeOf(
      new SutureError(ERROR_CODES.find((known) => known === code) ?? 'SUT_INTERNAL', ''),
    );
    t.equal(cells[0], String(exit), `${code}: its exit code`);
  }
});

t.test('exit codes', async (t) => {
  const by = (exit: number) => ERROR_CODES.filter((code) => exitCodeOf(new SutureError(code, '')) === exit);
  t.strictSame(by(2), ['SUT_CONFIG_INVALID', 'SUT_CONFIG_UNREADABLE', 'SUT_USAGE']);
  t.strictSame(by(3), ['SUT_NOT_AVAILABLE']);
  t.equal(by(1).length, ERROR_CODES.length - 4);
});

t.test('anything thrown becomes an error with a code', async (t) => {
  const known = new SutureError('SUT_LIMIT', 'full');
  t.equal(asSutureError(known), known);
  const cause = new Error('boom');
  t.match(asSutureError(cause), { code: 'SUT_INTERNAL', message: 'boom', cause });
  t.match(asSutureError('text'), { code: 'SUT_INTERNAL', message: 'text' });
});
