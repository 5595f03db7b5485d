/**
 * Finds out that a link is over: because it says so, or because its other end is gone without a word, by HTTP/2
 * pings (RFC 9113 section 6.7).
 */
import type { Http2Session } from 'node:http2';
import type { Clock } from '../../platform/clock.js';
import { firstAbort } from '../../platform/first-abort.js';

const BEAT_MS = 5_000;
/** An answer later than this is none. The other end may be busy, or its processor may be. */
const ANSWER_MS = 10_000;
/** How often a session is looked at that may be over without having said so. */
const LOOK_MS = 250;

/**
 * Resolves when the session is over, and destroyed. Its own 'close' is not enough: after a reset in an unlucky
 * moment node:http2 waits for an end of a socket that never comes, and only `closed` tells.
 */
export async function sessionOver(session: Http2Session, clock: Clock): Promise<void> {
  const ended = new AbortController();
  const end = (): void => ended.abort();
  session.once('close', end);
  session.socket?.once('close', end);
  void beat(session, clock, ended.signal);
  while (!ended.signal.aborted) {
    if (session.closed || session.destroyed) break;
    await clock.sleep(LOOK_MS, ended.signal).catch(() => {});
  }
  ended.abort();
  session.destroy();
}

/** Destroys a session that does not answer. */
async function beat(session: Http2Session, clock: Clock, signal: AbortSignal): Promise<void> {
  for (;;) {
    await clock.sleep(BEAT_MS, signal).catch(() => {});
    if (signal.aborted) return;
    const answered = new AbortController();
    const { signal: until, done } = firstAbort(answered.signal, signal);
    try {
      session.ping(() => answered.abort());
    } catch {
      done();
      return;
    }
    const late = await clock.sleep(ANSWER_MS, until).then(
      () => true,
      () => false,
    );
    done();
    if (late) session.destroy(new Error(`no answer to a ping within ${ANSWER_MS} ms`));
  }
}
