/**
 * The lab and the workload without any of Suture: what the other end-to-end tests rest on. Peer and core talk
 * through the switch host's plain forwarding.
 */
import t from 'tap';
import { addressOf, HTTP_PORT, RAW_PORT } from '../../src/lab/stage.js';
import { checkTransfer } from '../support/lab/checks.js';
import type {
  EndingResult,
  KeepAliveResult,
  PingPongResult,
  TransferResult,
} from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';

const BYTES = 5_000_001;

t.test('the workload over plain forwarding', async (t) => {
  const rig = await Rig.up(t);
  const workload = await rig.stage.startWorkload();

  for (const family of [4, 6] as const) {
    const http = { host: addressOf('b', family), port: HTTP_PORT };
    const raw = { host: addressOf('b', family), port: RAW_PORT };

    for (const mode of ['down', 'up', 'both'] as const) {
      await t.test(`IPv${family}: a transfer, ${mode}`, async (t) => {
        const [result] = await rig.client<TransferResult>('transfer', {
          ...http,
          mode,
          bytes: BYTES,
          seed: 3,
        });
        checkTransfer(t, result, BYTES);
      });
    }

    await t.test(`IPv${family}: keep-alive`, async (t) => {
      const [all] = await rig.client<KeepAliveResult[]>('keepalive', {
        ...http,
        connections: 10,
        requests: 50,
      });
      t.strictSame(
        all?.map(({ requests, error }) => ({ requests, error })),
        Array.from({ length: 10 }, () => ({ requests: 50, error: undefined })),
      );
    });

    await t.test(`IPv${family}: ping-pong`, async (t) => {
      const args = { ...raw, connections: 3, rounds: 100, min: 1, max: 3000, seed: 5 };
      const [all] = await rig.client<PingPongResult[]>('pingpong', args);
      for (const { rounds, error, written, read } of all ?? []) {
        t.strictSame({ rounds, error }, { rounds: 100, error: undefined });
        t.equal(read, written - 'ECHO\n'.length);
      }
    });

    for (const ending of ['half-close', 'client-reset', 'server-reset', 'server-first'] as const) {
      await t.test(`IPv${family}: ${ending}`, async (t) => {
        const go = rig.go();
        go.say();
        const args = { ...raw, ending, bytes: 200_000, seconds: 1, go: go.path };
        const [, end] = await rig.client<EndingResult>('ending', args);
        t.equal(end?.error, ending === 'server-reset' ? 'ECONNRESET' : undefined);
        if (ending === 'half-close') {
          t.match(end, {
            up: { sent: end?.up?.received, bytes: 200_000 },
            down: { sent: end?.down?.received },
          });
          t.ok((end?.answeredForMs ?? 0) > 500, 'the answer went on after the client had ended its half');
        }
        if (ending === 'client-reset') await workload.line(/^reset HOLD/, 5000);
      });
    }
  }
});
