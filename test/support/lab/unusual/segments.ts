/** Segments in the middle of a flow that few senders make: urgent data, stray SYNs and resets, bytes that come twice. */
import { TcpFlag } from '../../../../src/wire/segment.js';
import { seqAdd } from '../../../../src/wire/seq.js';
import type { Captured } from '../capture.js';
import { type Check, checkBytes, checkEnd, echo } from './check.js';
import { nextOf, stamps } from './packets.js';

const { Syn, Ack, Rst, Urg } = TcpFlag;

export const urgent: Check = async (t, ground, family) => {
  const connection = await ground.open(family, 'URGENT', [{ do: 'urgent' }]);
  const heard = { urgent: '!', inline: 'beforeafter' };
  t.match(await connection.step(), { near: heard, far: heard }, 'one byte out of band, each way');
  await checkEnd(t, ground, connection);
  const { e, b } = ground.sides(connection);
  for (const [from, to] of [
    [e, b],
    [b, e],
  ] as const) {
    const urgents = (packets: readonly Captured[]): number[] =>
      packets.filter(({ segment }) => segment.has(Urg)).map(({ segment }) => segment.urgent);
    t.ok(urgents(from.sent).length > 0);
    t.strictSame(urgents(to.got), urgents(from.sent), 'urgent pointers');
  }
};

/** RFC 5961 section 4: a SYN on a live connection draws an ack and changes nothing. */
export const strayOnLive =
  (host: 'e' | 'b', kind: 'SYN' | 'RST'): Check =>
  async (t, ground, family) => {
    const connection = await ground.open(family, 'ECHO', [echo(1), echo(2)]);
    checkBytes(t, await connection.step());
    const { seq, ack } = nextOf((await ground.calm(connection))[host].sent);
    const since = Date.now();
    // In the window, and not what comes next (RFC 5961 section 3.2).
    const packet =
      kind === 'SYN' ? { seq: seqAdd(seq, 500), flags: Syn } : { seq: seqAdd(seq, 100), flags: Rst };
    await ground.inject(host, connection, packet);
    await ground.until(connection, 'a challenge ack', (e, b) =>
      (host === 'e' ? e : b).got.some(
        ({ at, segment: s }) => at >= since && s.flags === Ack && s.ack === seq && s.seq === ack,
      ),
    );
    checkBytes(t, await connection.step());
    await checkEnd(t, ground, connection);
  };

/** RFC 2883: bytes that came twice are told in a first SACK block, below the ack. */
export const duplicateSack =
  (host: 'e' | 'b'): Check =>
  async (t, ground, family) => {
    const connection = await ground.open(family, 'ECHO', [echo(1), echo(2)]);
    checkBytes(t, await connection.step());
    const next = nextOf((await ground.calm(connection))[host].sent);
    const seq = seqAdd(next.seq, -50);
    await ground.inject(host, connection, { ...next, seq, flags: Ack, options: stamps(next), length: 10 });
    await ground.until(connection, 'a D-SACK of just these bytes', (e, b) =>
      (host === 'e' ? e : b).got.some(
        ({ segment: s }) =>
          s.sackCount > 0 &&
          s.ack === next.seq &&
          s.sackLeft[0] === seq &&
          s.sackRight[0] === seqAdd(seq, 10),
      ),
    );
    checkBytes(t, await connection.step());
    await checkEnd(t, ground, connection);
  };
