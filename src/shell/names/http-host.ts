/**
 * The host that an HTTP/1 request is for (RFC 9112 section 3.2), from the bytes with which a connection begins.
 * Pure. What servers are told to refuse, and could take for another host than this, counts as not understood.
 *
 * Only the first request of a connection is looked at.
 */
import { hostName, type Named } from './named.js';

/** RFC 9110 section 5.6.2. */
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]";
/** No method that anybody uses is longer. */
const METHOD = new RegExp(`^${TOKEN}{1,32}$`);
const REQUEST_LINE = new RegExp(`^${TOKEN}{1,32} (\\S+) HTTP/1\\.[01]$`);
const FIELD_LINE = new RegExp(`^(${TOKEN}+):(.*)$`);
/** RFC 9112 section 3.2.2: a proxy's form of the target; its host goes before the one in the field. */
const ABSOLUTE_FORM = /^https?:\/\/([^/?#]*)/i;
/** RFC 9113 section 3.4: HTTP/2 from the first byte on. It has no name where this could read it. */
const HTTP2_PREFACE = 'PRI * HTTP/2.0';

const MORE = { kind: 'more' } as const;
const NONE = { kind: 'none' } as const;
const OTHER = { kind: 'other' } as const;

export function requestHost(bytes: Buffer): Named {
  const text = bytes.toString('latin1');
  if (!beginsLikeRequest(text)) return OTHER;
  const end = /\r?\n\r?\n/.exec(text);
  if (!end) return MORE;
  const [first = '', ...fields] = text.slice(0, end.index).split(/\r?\n/);
  if (first === HTTP2_PREFACE) return NONE;
  const target = REQUEST_LINE.exec(first)?.[1];
  if (target === undefined) return OTHER;
  const hosts: string[] = [];
  for (const line of fields) {
    // Folded lines, and blanks before the colon, must be refused (RFC 9112 section 5).
    const [, name = '', value = ''] = FIELD_LINE.exec(line) ?? [];
    if (name === '') return OTHER;
    if (name.toLowerCase() === 'host') hosts.push(value.trim());
  }
  if (hosts.length > 1) return OTHER;
  const host = ABSOLUTE_FORM.exec(target)?.[1] ?? hosts[0];
  return host === undefined || host === '' ? NONE : withoutPort(host);
}

/** As far as the first line is there: a method, a target, a version. */
function beginsLikeRequest(text: string): boolean {
  const [line = '', ...more] = text.split('\n', 2);
  const space = line.indexOf(' ');
  if (!METHOD.test(space < 0 ? line : line.slice(0, space))) return text === '';
  const complete = more.length > 0;
  const whole = line.replace(/\r$/, '');
  return !complete || whole === HTTP2_PREFACE || REQUEST_LINE.test(whole);
}

/** RFC 9110 section 7.2: a host and, perhaps, a port. */
function withoutPort(value: string): Named {
  const [, bracketed, plain = ''] = /^(?:\[([^\]]*)\]|([^:@]*))(?::\d*)?$/.exec(value) ?? [];
  // An IPv6 address; no pattern is for one.
  if (bracketed !== undefined) return NONE;
  return hostName(plain);
}
