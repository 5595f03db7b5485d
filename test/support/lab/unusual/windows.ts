/** Ends that have nothing to say, and ends that do not read: the probes of both come through. */
import { TcpFlag } from '../../../../src/wire/segment.js';
import { seqAdd } from '../../../../src/wire/seq.js';
import type { Captured } from '../capture.js';
import { type Check, checkBytes, checkEnd, echo } from './check.js';
import { nextOf } from './packets.js';

const { Rst } = TcpFlag;
/** More than the windows and buffers on the way hold. */
const STALLED_BYTES = 3_000_000;
const STALL_SECONDS = 1.5;
/** RFC 9293 section 3.8.4: a keepalive repeats at most one byte, and so does a probe of a closed window. */
const PROBE_BYTES = 1;

export const keepalives: Check = async (t, ground, family) => {
  const connection = await ground.open(family, 'ECHO', [echo(1), echo(2)], { keepalive: 1 });
  checkBytes(t, await connection.step());
  const { seq } = nextOf((await ground.calm(connection)).e.sent);
  const below = seqAdd(seq, -1);
  await ground.until(connection, 'three keepalives, and an answer to each', (e, b) => {
    const isProbe = (at: number) => (packet: Captured) =>
      packet.segment.seq === at && packet.segment.payloadLength <= PROBE_BYTES;
    const first = e.sent.findIndex(isProbe(below));
    if (first < 0) return false;
    const since = e.sent[first]?.at ?? 0;
    const inner = seqAdd(below, b.shell.seq - e.own.seq);
    const answers = e.got.filter(({ at, segment }) => at >= since && segment.ack === seq);
    return b.got.filter(isProbe(inner)).length >= 3 && answers.length >= 3;
  });
  checkBytes(t, await connection.step());
  await checkEnd(t, ground, connection);
};

/** A receiver that reads nothing for a while: its window closes, is probed, and opens again. */
export const zeroWindow =
  (stalled: 'e' | 'b'): Check =>
  async (t, ground, family) => {
    const line = stalled === 'b' ? `STALL ${STALLED_BYTES} ${STALL_SECONDS}` : `PAUSE ${STALLED_BYTES}`;
    const step = { do: stalled === 'b' ? 'stall' : 'pause', bytes: STALLED_BYTES, seconds: STALL_SECONDS };
    const connection = await ground.open(family, line, [step]);
    checkBytes(t, await connection.step(), STALLED_BYTES);
    await checkEnd(t, ground, connection);
    const { e, b } = ground.sides(connection);
    const [reader, writer] = stalled === 'e' ? [e, b] : [b, e];
    const closed = writer.got.find(({ segment }) => segment.window === 0 && !segment.has(Rst));
    t.ok(closed, 'the sender saw a closed window');
    const probes = reader.got.filter(
      ({ at, segment }) => at > (closed?.at ?? 0) && segment.payloadLength <= PROBE_BYTES,
    );
    t.ok(probes.length > 0, `${probes.length} probes came through`);
  };
