/**
 * What an inner connection begins with, so that the core agent knows which stream it goes on with: a mark, and
 * the stream's token. The shell injects these bytes: the switch's deltas count them.
 *
 *   0  "SUTURE", 0, version 1    8  number of the token    16  secret, 16 random bytes
 *
 * A token is good for one connection. It says only where bytes belong; who may link at all is proved on the link.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { TOKEN_BYTES } from './codec.js';

const MARK = Buffer.from('SUTURE\0\x01', 'latin1');
const NUMBER_BYTES = 8;
export const PREFIX_BYTES = MARK.length + TOKEN_BYTES;

export function drawToken(): Buffer {
  return randomBytes(TOKEN_BYTES);
}

export function prefixOf(token: Buffer): Buffer {
  return Buffer.concat([MARK, token]);
}

/** The token of a prefix; undefined when these bytes are none. */
export function tokenOf(prefix: Buffer): Buffer | undefined {
  if (prefix.length !== PREFIX_BYTES || !prefix.subarray(0, MARK.length).equals(MARK)) return undefined;
  return prefix.subarray(MARK.length);
}

/** Tokens that are waited for. Found by their number, which is no secret; the rest is compared in constant time. */
export class TokenBook<T> {
  readonly #entries = new Map<string, { readonly token: Buffer; readonly value: T }>();

  /** False: the number is taken. */
  add(token: Buffer, value: T): boolean {
    const number = numberOf(token);
    if (this.#entries.has(number)) return false;
    this.#entries.set(number, { token, value });
    return true;
  }

  take(token: Buffer): T | undefined {
    const number = numberOf(token);
    const entry = this.#entries.get(number);
    if (!entry || !timingSafeEqual(entry.token, token)) return undefined;
    this.#entries.delete(number);
    return entry.value;
  }

  /** It is not waited for any more. */
  drop(token: Buffer): void {
    this.take(token);
  }

  get size(): number {
    return this.#entries.size;
  }
}

function numberOf(token: Buffer): string {
  return token.toString('latin1', 0, NUMBER_BYTES);
}
