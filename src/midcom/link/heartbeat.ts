/** Finds out that the other end of a link is gone without a word: HTTP/2 pings (RFC 9113 section 6.7). */
import type { Http2Session } from 'node:http2';
import type { Clock } from '../../platform/clock.js';

const BEAT_MS = 5_000;
/** An answer later than this is none. The other end may be busy, or its processor may be. */
const ANSWER_MS = 10_000;

/** Until the session ends; it destroys one that does not answer. Never rejects. */
export async function heartbeat(session: Http2Session, clock: Clock): Promise<void> {
  const ended = new AbortController();
  session.once('close', () => ended.abort());
  const { signal } = ended;
  while (!session.destroyed) {
    await clock.sleep(BEAT_MS, signal).catch(() => {});
    if (session.destroyed || session.closed) return;
    const answered = new AbortController();
    try {
      session.ping(() => answered.abort());
    } catch {
      return;
    }
    const late = await clock.sleep(ANSWER_MS, AbortSignal.any([answered.signal, signal])).then(
      () => true,
      () => false,
    );
    if (late) session.destroy(new Error(`no answer to a ping within ${ANSWER_MS} ms`));
  }
}
