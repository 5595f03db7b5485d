/**
 * How the ends of a link know each other: TLS with a pre-shared key (RFC 4279), in which each end proves in its
 * Finished message, over random values of both, that it has the key. OpenSSL compares in constant time. Only
 * suites with an ephemeral key exchange (RFC 7905) are offered, so a key that is lost later opens no record of
 * today; node:tls has pre-shared keys up to TLS 1.2.
 */
import { hkdfSync } from 'node:crypto';
import type { TlsOptions } from 'node:tls';
import type { LinkAuth } from '../../platform/config/index.js';

const KEY_BYTES = 32;
/** Binds the key to this use: the same secret elsewhere gives another key. */
const LABEL = 'suture link v1';

export const TLS_OPTIONS = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  ALPNProtocols: ['h2'],
} as const satisfies TlsOptions;

/** Undefined without authentication. */
export function linkKey(auth: LinkAuth): Buffer | undefined {
  if (auth.mode === 'none') return undefined;
  return Buffer.from(hkdfSync('sha256', auth.key, '', LABEL, KEY_BYTES));
}
