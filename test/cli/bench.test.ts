import t from 'tap';
import type { BenchRequest } from '../../src/cli/programs.js';
import { SutureError } from '../../src/platform/errors.js';
import { suture } from './context.js';

const DOCUMENT = { bench: 'rate', samples: [1, 2] };

function fake(calls: [string, BenchRequest][]) {
  return async () => async (name: string, request: BenchRequest) => {
    calls.push([name, request]);
    request.progress('halfway');
    return { document: DOCUMENT, lines: ['one line', 'and another'] };
  };
}

t.test('lines for people, progress on standard error', async (t) => {
  const calls: [string, BenchRequest][] = [];
  const { code, out, err } = await suture(['bench', 'rate'], { programs: { bench: fake(calls) } });
  t.equal(code, 0);
  t.equal(out, 'one line\nand another\n');
  t.equal(err, 'halfway\n');
  const [[name, request] = []] = calls;
  t.equal(name, 'rate');
  t.match(request, { dataplane: 'auto', save: false, runs: undefined, seconds: undefined });
});

t.test('--json prints the document and nothing else; options are passed on', async (t) => {
  const calls: [string, BenchRequest][] = [];
  const argv = [
    'bench',
    'scale',
    '--json',
    '--save',
    '--runs',
    '7',
    '--seconds',
    '1.5',
    '--dataplane',
    'kernel',
  ];
  const { code, json } = await suture(argv, { programs: { bench: fake(calls) } });
  t.equal(code, 0);
  t.strictSame(json, DOCUMENT);
  t.match(calls[0]?.[1], { runs: 7, seconds: 1.5, dataplane: 'kernel', save: true });
});

t.test('a program that is missing is 3, with the mend', async (t) => {
  const missing = new SutureError(
    'SUT_NOT_AVAILABLE',
    "bench rate needs gcc; run 'npm run setup -- --bench'",
  );
  const bench = async () => async () => {
    throw missing;
  };
  const { code, err, json } = await suture(['bench', 'rate', '--json'], { programs: { bench } });
  t.equal(code, 3);
  t.match(err, 'npm run setup -- --bench');
  t.match(json, { error: { code: 'SUT_NOT_AVAILABLE' } });
});
