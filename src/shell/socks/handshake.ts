/**
 * The server's side of a SOCKS 5 handshake on an accepted socket: up to the request, which somebody else
 * answers. Whoever says something else is told so as far as the protocol has words for it.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Greeting } from '../greeting.js';
import {
  Command,
  type Credentials,
  loginAnswer,
  Method,
  methodChoice,
  type Parsed,
  parseCredentials,
  parseMethods,
  parseRequest,
  Reply,
  requestReply,
  type SocksRequest,
} from './codec.js';

export interface SocksUser {
  readonly user: string;
  readonly password: string;
}

export type Handshake =
  | { readonly kind: 'request'; readonly request: SocksRequest; readonly written: number }
  /** `words`: the last bytes for the client. */
  | { readonly kind: 'over'; readonly why: string; readonly words: Buffer };

const NO_WORDS = Buffer.alloc(0);

/** Without users anybody may ask. */
export async function shakeHands(
  socket: Socket,
  greeting: Greeting,
  users: readonly SocksUser[],
): Promise<Handshake> {
  let written = 0;
  const say = (bytes: Buffer): void => {
    written += bytes.length;
    socket.write(bytes);
  };
  const methods = await hear(greeting, parseMethods);
  if (methods.kind !== 'done') return over(methods);
  const method = users.length > 0 ? Method.UserPassword : Method.None;
  if (!methods.value.includes(method)) {
    const why = users.length > 0 ? 'no user and password offered' : 'wants to log in, and there are no users';
    return { kind: 'over', why, words: methodChoice(Method.NoneAcceptable) };
  }
  say(methodChoice(method));
  if (method === Method.UserPassword) {
    const login = await hear(greeting, parseCredentials);
    if (login.kind !== 'done') return over(login);
    if (!isKnown(login.value, users)) {
      return { kind: 'over', why: 'wrong user or password', words: loginAnswer(false) };
    }
    say(loginAnswer(true));
  }
  const asked = await hear(greeting, parseRequest);
  if (asked.kind !== 'done') return over(asked);
  if (asked.value.command !== Command.Connect) {
    const why = `command ${asked.value.command}`;
    return { kind: 'over', why, words: requestReply(Reply.CommandNotSupported) };
  }
  return { kind: 'request', request: asked.value, written };
}

type Failed = { readonly kind: 'wrong'; readonly why: string; readonly reply?: Reply };

/** Reads until the parser has what it wants, and takes that off the greeting. */
async function hear<T>(
  greeting: Greeting,
  parse: (bytes: Buffer) => Parsed<T>,
): Promise<{ readonly kind: 'done'; readonly value: T } | Failed> {
  for (;;) {
    const parsed = parse(greeting.rest);
    if (parsed.kind === 'wrong') return parsed;
    if (parsed.kind === 'done') {
      greeting.take(parsed.length);
      return parsed;
    }
    const heard = await greeting.more();
    if (heard !== 'more') return { kind: 'wrong', why: `handshake ${heard}` };
  }
}

function over({ why, reply }: Failed): Handshake {
  return { kind: 'over', why, words: reply === undefined ? NO_WORDS : requestReply(reply) };
}

/** Looks at every user and every byte, so that the time tells nothing. */
function isKnown({ user, password }: Credentials, users: readonly SocksUser[]): boolean {
  let known = false;
  for (const one of users) {
    const sameUser = timingSafeEqual(digest(user), digest(one.user));
    const samePassword = timingSafeEqual(digest(password), digest(one.password));
    known = (sameUser && samePassword) || known;
  }
  return known;
}

/** Of one length, whatever was given. */
function digest(text: string | Buffer): Buffer {
  return createHash('sha256').update(text).digest();
}
