/** What kind of connection begins with these bytes, and the name that it is for. Pure. */
import { clientHelloName } from './client-hello.js';
import { requestHost } from './http-host.js';

export type Recognized =
  | { readonly kind: 'more' }
  | { readonly kind: 'tls' | 'http' | 'plain'; readonly name?: string };

const TLS_HANDSHAKE = 22;

export function recognize(bytes: Buffer): Recognized {
  if (bytes.length === 0) return { kind: 'more' };
  const [kind, parse] =
    bytes[0] === TLS_HANDSHAKE ? (['tls', clientHelloName] as const) : (['http', requestHost] as const);
  const found = parse(bytes);
  switch (found.kind) {
    case 'more':
      return found;
    case 'other':
      return { kind: 'plain' };
    case 'none':
      return { kind };
    case 'name':
      return { kind, name: found.name };
  }
}
