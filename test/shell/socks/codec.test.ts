import fc from 'fast-check';
import t from 'tap';
import {
  loginAnswer,
  methodChoice,
  parseCredentials,
  parseMethods,
  parseRequest,
  Reply,
  requestReply,
} from '../../../src/shell/socks/codec.js';
import { feedsByteByByte, survivesAnything } from '../parsing.js';

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s+/g, ''), 'hex');

/** What curl 7.88 and a JVM's SocksSocketImpl send, and the forms that they do not use. */
const METHODS: [string, number[]][] = [
  ['05 02 00 02', [0, 2]],
  ['05 01 00', [0]],
  ['05 03 00 01 02', [0, 1, 2]],
  ['05 00', []],
];
const REQUESTS: [string, { command: number; host: string; isName: boolean; port: number }][] = [
  ['05 01 00 01 0ac90102 1f90', { command: 1, host: '10.201.1.2', isName: false, port: 8080 }],
  [
    '05 01 00 04 fd000201000100000000000000000002 01bb',
    { command: 1, host: 'fd00:201:1::2', isName: false, port: 443 },
  ],
  ['05 01 00 03 0b 6578616d706c652e6f7267 0050', { command: 1, host: 'example.org', isName: true, port: 80 }],
  // Upper case, and a dot at the end.
  [
    '05 01 00 03 0c 4558616d706c652e6f72672e 0050',
    { command: 1, host: 'example.org', isName: true, port: 80 },
  ],
  // An address where a name belongs.
  ['05 01 00 03 08 31302e302e302e31 0016', { command: 1, host: '10.0.0.1', isName: false, port: 22 }],
  // In the brackets of a URL, as the JDBC driver of PostgreSQL hands it to a JVM.
  [
    '05 01 00 03 0f 5b666430303a3230313a313a3a325d 1538',
    { command: 1, host: 'fd00:201:1::2', isName: false, port: 5432 },
  ],
  // An IPv4-mapped address is the IPv4 address (RFC 4291 section 2.5.5.2).
  [
    '05 01 00 04 00000000000000000000ffff7f000001 0016',
    { command: 1, host: '127.0.0.1', isName: false, port: 22 },
  ],
  ['05 02 00 01 0ac90102 1f90', { command: 2, host: '10.201.1.2', isName: false, port: 8080 }],
];
const LOGINS: [string, string, string][] = [
  ['01 04 75736572 06 736563726574', 'user', 'secret'],
  ['01 01 75 01 70', 'u', 'p'],
  ['01 00 00', '', ''],
];

t.test('methods', async (t) => {
  for (const [text, expected] of METHODS) {
    const whole = hex(text);
    t.strictSame(feedsByteByByte(t, parseMethods, whole), {
      kind: 'done',
      value: expected,
      length: whole.length,
    });
  }
  t.match(parseMethods(hex('04 01')), { kind: 'wrong', why: /version 4/ });
  t.match(parseMethods(Buffer.from('GET / HTTP/1.1\r\n')), { kind: 'wrong', why: /version 71/ });
});

t.test('requests', async (t) => {
  for (const [text, expected] of REQUESTS) {
    const whole = hex(text);
    t.strictSame(feedsByteByByte(t, parseRequest, whole), {
      kind: 'done',
      value: expected,
      length: whole.length,
    });
  }
});

t.test('requests that can not be', async (t) => {
  for (const [text, reply] of [
    ['04 01 00 01 0ac90102 1f90', undefined],
    ['05 01 00 02 0ac90102 1f90', Reply.AddressTypeNotSupported],
    ['05 01 00 01 0ac90102 0000', Reply.GeneralFailure],
    ['05 01 00 03 00 0050', Reply.GeneralFailure],
    ['05 01 00 03 01 2e 0050', Reply.GeneralFailure],
    ['05 01 00 03 03 612e2e 0050', Reply.GeneralFailure],
    ['05 01 00 03 03 612062 0050', Reply.GeneralFailure],
    ['05 01 00 03 03 610062 0050', Reply.GeneralFailure],
    [`05 01 00 03 ff ${'61'.repeat(255)} 0050`, Reply.GeneralFailure],
  ] as const) {
    const found = parseRequest(hex(text));
    t.match(found, { kind: 'wrong' }, text);
    t.equal('reply' in found ? found.reply : undefined, reply, text);
  }
});

t.test('logins', async (t) => {
  for (const [text, user, password] of LOGINS) {
    t.strictSame(feedsByteByByte(t, parseCredentials, hex(text)), {
      kind: 'done',
      value: { user: Buffer.from(user), password: Buffer.from(password) },
      length: hex(text).length,
    });
  }
  t.match(parseCredentials(hex('05 01 00')), { kind: 'wrong' });
});

t.test('answers', async (t) => {
  t.same(methodChoice(0xff), hex('05 ff'));
  t.same([loginAnswer(true), loginAnswer(false)], [hex('01 00'), hex('01 01')]);
  t.same(requestReply(Reply.NotAllowed), hex('05 02 00 01 00000000 0000'));
  t.same(
    requestReply(Reply.Succeeded, { address: '10.201.2.2', port: 20_000 }),
    hex('05 00 00 01 0ac90202 4e20'),
  );
  t.same(
    requestReply(Reply.Succeeded, { address: 'fd00:201:2::2', port: 20_000 }),
    hex('05 00 00 04 fd000201000200000000000000000002 4e20'),
  );
});

t.test('anything at all', async () => {
  const seeds = [...METHODS, ...REQUESTS, ...LOGINS].map(([text]) => hex(text));
  for (const parse of [parseMethods, parseRequest, parseCredentials]) survivesAnything(parse, seeds);
});

t.test('a request reads back, and is never read past its end', async (t) => {
  const host = fc.oneof(
    fc.ipV4().map((text) => ({ type: 1, bytes: Buffer.from(text.split('.').map(Number)) })),
    fc
      .domain()
      .map((text) => ({ type: 3, bytes: Buffer.concat([Buffer.of(text.length), Buffer.from(text)]) })),
    fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => ({ type: 4, bytes: Buffer.from(bytes) })),
  );
  fc.assert(
    fc.property(
      host,
      fc.integer({ min: 1, max: 65535 }),
      fc.uint8Array({ maxLength: 20 }),
      (to, port, more) => {
        const whole = Buffer.concat([
          Buffer.of(5, 1, 0, to.type),
          to.bytes,
          Buffer.of(port >> 8, port & 255),
        ]);
        const found = parseRequest(Buffer.concat([whole, more]));
        if (found.kind !== 'done') throw new Error(JSON.stringify(found));
        if (found.length !== whole.length || found.value.port !== port) throw new Error('length or port');
        if (to.type === 3 && found.value.host !== to.bytes.subarray(1).toString()) throw new Error('name');
      },
    ),
    { numRuns: 500, interruptAfterTimeLimit: 5_000 },
  );
  t.pass('500 requests');
});
