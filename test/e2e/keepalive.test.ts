/** Many keep-alive connections at once, all stitched while they are used. */
import t from 'tap';
import { addressOf, HTTP_PORT } from '../../src/lab/stage.js';
import { checkClosed } from '../support/lab/checks.js';
import type { KeepAliveResult } from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';

const CONNECTIONS = 100;
const REQUESTS = 1000;

t.test('concurrent keep-alive connections', async (t) => {
  const rig = await Rig.up(t);
  await rig.startPath();
  for (const [family, connections] of [
    [4, CONNECTIONS],
    [6, CONNECTIONS / 10],
  ] as const) {
    await t.test(`IPv${family}: ${connections} connections of ${REQUESTS} requests`, async (t) => {
      const args = { host: addressOf('a', family), port: HTTP_PORT, connections, requests: REQUESTS };
      const [results = []] = await rig.client<KeepAliveResult[]>('keepalive', args);
      t.equal(results.length, connections);
      for (const result of results) {
        t.strictSame(
          { requests: result.requests, error: result.error },
          { requests: REQUESTS, error: undefined },
        );
        t.match(result.answer, /^HTTP\/1\.1 200 OK\r\n(.+\r\n)+\r\npong\n$/);
        await checkClosed(t, rig, result);
      }
    });
  }
});
