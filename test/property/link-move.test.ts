/**
 * Connections that leave their link at a random moment, in random pieces, with readers that stop for a while:
 * both ends get what was sent, byte for byte, and each end's end. More with SUTURE_TEST_LINK_RUNS (40).
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import { linkBench } from '../shell/link-bench.js';
import { type Ended, readAll, until } from '../shell/support.js';

const RUNS = Number(process.env.SUTURE_TEST_LINK_RUNS ?? 40);
/** After each the shell waits a little before it connects again. */
const CUTS = Math.ceil(RUNS / 3);
/** Small, so that everything is held up all the time; and the default. */
const BUFFERS = [4096, 64 * 1024];

interface Side {
  readonly chunks: readonly number[];
  /** Turns of the event loop between two writes. */
  readonly gap: number;
  /** The reader stops for so long after each so many bytes. */
  readonly readPauseMs: number;
  readonly readPauseEvery: number;
}

const side = fc.record<Side>({
  chunks: fc.array(fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 120_000 })), {
    maxLength: 25,
  }),
  gap: fc.nat(2),
  readPauseMs: fc.nat(3),
  readPauseEvery: fc.integer({ min: 1000, max: 400_000 }),
});

const scenario = fc.record({
  peer: side,
  server: side,
  /** Asked for when the peer has written so many pieces, or all. */
  moveAt: fc.nat(15),
  /** The peer waits with its next piece until the connection has moved; or it writes on meanwhile. */
  waits: fc.boolean(),
  /** Who ends first: both at once, or the one that has read the other's end. */
  ends: fc.constantFrom('both', 'peer', 'server'),
});

async function write(
  socket: Socket,
  { chunks, gap }: Side,
  onPiece: (n: number) => Promise<void>,
): Promise<string> {
  const hash = createHash('sha256');
  for (const [n, length] of chunks.entries()) {
    await onPiece(n);
    const piece = Buffer.allocUnsafe(length);
    for (let i = 0; i < length; i++) piece[i] = (n * 31 + i * 7 + (i >> 8)) & 0xff;
    hash.update(piece);
    if (!socket.write(piece)) await once(socket, 'drain');
    for (let i = 0; i < gap; i++) await sleep(0);
  }
  await onPiece(chunks.length);
  return hash.digest('hex');
}

async function read(socket: Socket, { readPauseMs, readPauseEvery }: Side): Promise<string> {
  const hash = createHash('sha256');
  let untilPause = readPauseEvery;
  for await (const piece of socket.iterator({ destroyOnReturn: false })) {
    hash.update(piece as Buffer);
    untilPause -= (piece as Buffer).length;
    if (untilPause > 0 || readPauseMs === 0) continue;
    untilPause = readPauseEvery;
    await sleep(readPauseMs);
  }
  return hash.digest('hex');
}

for (const buffer of BUFFERS) {
  t.test(`moves, with buffers of ${buffer} bytes`, async (t) => {
    const b = await linkBench({ buffer });
    t.teardown(() => b.close());
    await fc.assert(
      fc.asyncProperty(scenario, async ({ peer: up, server: down, moveAt, waits, ends }) => {
        const { peer, server } = await b.open();
        const own = { address: '127.0.0.1', port: peer.localPort ?? 0 };
        const [gotUp, gotDown] = [read(server, up), read(peer, down)];
        const before = b.shell.stats().moved;
        const onPiece = async (n: number): Promise<void> => {
          if (n !== Math.min(moveAt, up.chunks.length)) return;
          b.fake.askMove(own);
          // A server that has ended keeps it on the link.
          const isDecided = (): boolean => b.shell.stats().moved > before || server.writableEnded;
          if (waits) await until(isDecided, 'it has moved');
        };
        const said = async (socket: Socket, side: Side, first: boolean, heard: Promise<string>) => {
          const sent = await write(socket, side, socket === peer ? onPiece : async () => {});
          if (!first) await heard;
          socket.end();
          return sent;
        };
        const sent = await Promise.all([
          said(peer, up, ends !== 'server', gotDown),
          said(server, down, ends !== 'peer', gotUp),
        ]);
        const got = await Promise.all([gotUp, gotDown]);
        if (sent[0] !== got[0] || sent[1] !== got[1]) throw new Error('bytes differ');
      }),
      { numRuns: RUNS },
    );
    await until(() => b.shell.stats().open === 0, 'the shell has let go of all');
    await until(() => b.core.stats().delivery?.connections === 0, 'the core has let go of all');
    const { moved, linked } = b.shell.stats();
    t.ok(linked >= RUNS, `${linked} connections`);
    t.ok(moved > RUNS / 10, `${moved} of them moved`);
    t.equal(b.core.stats().delivery?.moved, moved, 'the core says the same');
    t.equal(b.fake.flows.size, 0, 'no flow is left');
  });
}

t.test('the link is lost at any moment, of the move too: all has come, or the end is a reset', async (t) => {
  const b = await linkBench({ buffer: 4096 });
  t.teardown(() => b.close());
  const outcomes = new Map<string, number>();
  const bytes = fc.integer({ min: 1, max: 300_000 });
  const moments = fc.record({ up: bytes, down: bytes, moveAfter: fc.nat(12), cutAfter: fc.nat(40) });
  await fc.assert(
    fc.asyncProperty(moments, async ({ up, down, moveAfter, cutAfter }) => {
      const { peer, server } = await b.open();
      const ends = [readAll(server), readAll(peer)];
      peer.end(Buffer.alloc(up, 'u'));
      server.write(Buffer.alloc(down, 'd'));
      server.once('end', () => server.end());
      for (let turn = 0; turn < Math.max(moveAfter, cutAfter) + 1; turn++) {
        if (turn === moveAfter) b.fake.askMove();
        if (turn === cutAfter) b.cutLink();
        await sleep(0);
      }
      for (const [end, sent] of [
        [await ends[0], Buffer.alloc(up, 'u')],
        [await ends[1], Buffer.alloc(down, 'd')],
      ] as [Ended, Buffer][]) {
        outcomes.set(end.how, (outcomes.get(end.how) ?? 0) + 1);
        if (end.how === 'end' && !end.data.equals(sent))
          throw new Error(`${end.data.length} bytes and an end`);
        if (!end.data.equals(sent.subarray(0, end.data.length))) throw new Error('other bytes');
      }
    }),
    { numRuns: CUTS },
  );
  t.comment([...outcomes].map(([how, count]) => `${how}: ${count}`).join(', '));
  await until(() => b.shell.stats().open === 0, 'the shell has let go of all');
  await until(() => b.core.stats().delivery?.connections === 0, 'the core has let go of all');
  t.equal(b.fake.flows.size, 0, 'no flow is left');
});
