/** How a stitched connection may end, and that its port can then be used again. */
import t from 'tap';
import { addressOf, RAW_PORT, route } from '../../src/lab/stage.js';
import { checkClosed } from '../support/lab/checks.js';
import type { ConnectResult, EndingResult } from '../support/lab/results.js';
import { Rig, standardRoutes } from '../support/lab/rig.js';

const BYTES = 2_000_000;
const ANSWER_SECONDS = 5;
const NO_SERVICE_PORT = 7;
const REFUSING_ROUTE = 8090;
/** Fewer than the connections that one test opens: each must come back. */
const FEW_PORTS = { from: 20_000, to: 20_003 };

t.test('endings of a stitched connection', async (t) => {
  const rig = await Rig.up(t);
  const refusing = [4, 6].map((family) => route(REFUSING_ROUTE, NO_SERVICE_PORT, 'now', family as 4 | 6));
  const roles = await rig.startPath({
    routes: [...standardRoutes(), ...refusing],
    shellConfig: { ports: `${FEW_PORTS.from}-${FEW_PORTS.to}` },
  });

  /** Opens it, waits until it is stitched, lets it end; what its client reported last. */
  async function endStitched(ending: string, family: 4 | 6, bytes = BYTES): Promise<EndingResult> {
    const go = rig.go();
    const host = addressOf('a', family);
    const args = { host, port: RAW_PORT, ending, bytes, seconds: ANSWER_SECONDS, go: go.path };
    const client = rig.startClient('ending', args);
    await rig.stitched(await client.report<EndingResult>(0));
    go.say();
    await client.finished();
    return client.report<EndingResult>(1);
  }

  for (const family of [4, 6] as const) {
    await t.test(`IPv${family}: half-close, the answer takes ${ANSWER_SECONDS} s`, async (t) => {
      const end = await endStitched('half-close', family);
      t.equal(end.error, undefined);
      t.equal(end.up?.bytes, BYTES);
      t.equal(end.up?.received, end.up?.sent, 'up: SHA-256');
      t.equal(end.down?.received, end.down?.sent, 'down: SHA-256');
      t.ok((end.down?.bytes ?? 0) > 100_000, 'there was an answer');
      t.ok((end.answeredForMs ?? 0) >= ANSWER_SECONDS * 1000 - 500, `it took ${end.answeredForMs} ms`);
      await checkClosed(t, rig, end, 'fin');
    });

    await t.test(`IPv${family}: the server ends first`, async (t) => {
      const end = await endStitched('server-first', family);
      t.equal(end.error, undefined);
      t.equal(end.down?.bytes, BYTES);
      t.equal(end.down?.received, end.down?.sent, 'down: SHA-256');
      await checkClosed(t, rig, end, 'fin');
    });

    await t.test(`IPv${family}: a reset by the client`, async (t) => {
      const end = await endStitched('client-reset', family);
      await roles.workload.line(/^reset HOLD/, 5000);
      await checkClosed(t, rig, end, 'reset-by-peer');
    });

    await t.test(`IPv${family}: a reset by the server`, async (t) => {
      const end = await endStitched('server-reset', family);
      t.equal(end.error, 'ECONNRESET');
      await checkClosed(t, rig, end, 'reset-by-core');
    });

    await t.test(`IPv${family}: a core that refuses`, async (t) => {
      const args = { host: addressOf('a', family), port: REFUSING_ROUTE, timeoutMs: 5000 };
      const [result] = await rig.client<ConnectResult>('connect', args);
      t.equal(result?.outcome, 'ECONNRESET', 'the peer gets a reset');
    });

    await t.test(`IPv${family}: ports come back`, async (t) => {
      const count = 3 * (FEW_PORTS.to - FEW_PORTS.from + 1);
      const used = new Map<string, number>();
      for (let i = 0; i < count; i++) {
        const ending = i % 2 === 0 ? 'client-reset' : 'server-reset';
        const end = await endStitched(ending, family, 5000);
        const reason = ending === 'client-reset' ? 'reset-by-peer' : 'reset-by-core';
        const { inner } = await checkClosed(t, rig, end, reason);
        used.set(inner.local, (used.get(inner.local) ?? 0) + 1);
      }
      t.ok(used.size <= FEW_PORTS.to - FEW_PORTS.from + 1, 'all from the reserved range');
      t.ok(
        [...used.values()].some((times) => times > 1),
        'at least one was used again',
      );
      for (const endpoint of used.keys()) {
        const port = Number(endpoint.split(':').at(-1));
        t.ok(port >= FEW_PORTS.from && port <= FEW_PORTS.to, endpoint);
      }
    });
  }
});
