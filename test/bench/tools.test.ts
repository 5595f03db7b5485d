import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { missingTools, requireTools } from '../../bench/support/tools.js';
import { exitCodeOf, SutureError } from '../../src/platform/errors.js';

t.test('what is missing is named, with its packages', async (t) => {
  const folder = t.testdir({ gcc: '', iperf3: '', nginx: '' });
  for (const name of ['gcc', 'iperf3']) chmodSync(join(folder, name), 0o755);
  const path = `/nowhere:${folder}`;
  t.strictSame(missingTools(['gcc', 'haproxy', 'iperf3', 'nginx'], path), ['haproxy', 'nginx']);
  t.doesNotThrow(() => requireTools('rate', ['gcc', 'iperf3'], path));
  const expected =
    /bench throughput needs haproxy, nginx, .*apt-get install haproxy nginx-light libnginx-mod-stream/;
  t.throws(() => requireTools('throughput', ['haproxy', 'nginx', 'gcc'], path), {
    code: 'SUT_NOT_AVAILABLE',
    message: expected,
  });
});

t.test('it ends the command with 3', async (t) => {
  t.equal(exitCodeOf(new SutureError('SUT_NOT_AVAILABLE', '')), 3);
});
