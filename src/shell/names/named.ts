/** What a stream's first bytes say of the name that they are for. */
import { isIP } from 'node:net';

export type Named =
  /** Not yet. */
  | { readonly kind: 'more' }
  | { readonly kind: 'name'; readonly name: string }
  /** The protocol is known, and no name is given. */
  | { readonly kind: 'none' }
  /** Another protocol, or none that can be understood. */
  | { readonly kind: 'other' };

/** Letters, digits, hyphens, and the underscores that people use. */
const NAME = /^(?=.{1,253}$)[a-z0-9_][a-z0-9_-]{0,62}(?:\.[a-z0-9_][a-z0-9_-]{0,62})*$/;

/** A name as patterns are compared with it: in lower case, without the dot at its end. An address is no name. */
export function hostName(text: string): Named {
  const name = text.toLowerCase().replace(/\.$/, '');
  if (isIP(name) !== 0) return { kind: 'none' };
  return NAME.test(name) ? { kind: 'name', name } : { kind: 'other' };
}
