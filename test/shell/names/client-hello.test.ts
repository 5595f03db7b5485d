import fc from 'fast-check';
import t from 'tap';
import { clientHelloName } from '../../../src/shell/names/client-hello.js';
import { feedsByteByByte, survivesAnything } from '../parsing.js';
import { extension, helloMessage, inRecords, realHello, serverName, VERSIONS } from './hello.js';

const hello = (...extensions: Buffer[]): Buffer => inRecords(helloMessage({ extensions }));
const NAMED = helloMessage({
  extensions: [VERSIONS, serverName('api.example.org'), extension(16, Buffer.alloc(5))],
});

/** A whole one, byte by byte: a record of a handshake of a ClientHello for `a.example`, and nothing beside. */
const WRITTEN_OUT = Buffer.from(
  [
    '16 0301 0041', // handshake, TLS 1.0 as everybody writes it, 65 bytes
    '01 00003d 0303', // ClientHello, 61 bytes, TLS 1.2
    '00'.repeat(32), // random
    '00', // no session
    '0002 1301', // TLS_AES_128_GCM_SHA256
    '01 00', // no compression
    '0012', // extensions
    '0000 000e 000c 00 0009 612e6578616d706c65', // server_name, a list, host_name, "a.example"
  ]
    .join('')
    .replace(/\s/g, ''),
  'hex',
);

t.test('written out', async (t) => {
  t.strictSame(feedsByteByByte(t, clientHelloName, WRITTEN_OUT), { kind: 'name', name: 'a.example' });
});

t.test('what a real library sends', async (t) => {
  const named = await realHello('Some.Example.org');
  t.strictSame(feedsByteByByte(t, clientHelloName, named), { kind: 'name', name: 'some.example.org' });
  const nameless = await realHello(undefined);
  t.strictSame(feedsByteByByte(t, clientHelloName, nameless), { kind: 'none' });
});

t.test('in as many records as anyone likes', async (t) => {
  for (const sizes of [[], [1], [4], [5, 1, 1, 30], [40, 40], new Array(NAMED.length - 1).fill(1)]) {
    const whole = inRecords(NAMED, sizes);
    t.strictSame(feedsByteByByte(t, clientHelloName, whole), { kind: 'name', name: 'api.example.org' });
  }
  const long = helloMessage({
    extensions: [extension(21, Buffer.alloc(40_000)), serverName('far.example.org')],
  });
  t.strictSame(clientHelloName(inRecords(long, [16_384, 16_384])), { kind: 'name', name: 'far.example.org' });
  const behind = Buffer.concat([inRecords(NAMED), Buffer.of(20, 3, 3, 0, 1, 1)]);
  t.strictSame(
    clientHelloName(behind),
    { kind: 'name', name: 'api.example.org' },
    'another record behind it',
  );
});

t.test('names, and what is none', async (t) => {
  for (const [bytes, expected] of [
    [hello(), { kind: 'none' }],
    [inRecords(helloMessage({ extensions: undefined })), { kind: 'none' }],
    [hello(serverName('EXAMPLE.org.')), { kind: 'name', name: 'example.org' }],
    [hello(serverName('xn--bcher-kva.example')), { kind: 'name', name: 'xn--bcher-kva.example' }],
    [hello(serverName('10.0.0.1')), { kind: 'none' }],
    [hello(serverName('fd00::1')), { kind: 'none' }],
    [hello(serverName('')), { kind: 'other' }],
    [hello(serverName('a..b')), { kind: 'other' }],
    [hello(serverName('a\u0000.example.org')), { kind: 'other' }],
    [hello(serverName('é.example.org')), { kind: 'other' }],
    [hello(serverName('x'.repeat(254))), { kind: 'other' }],
    [hello(serverName('a.example', 1)), { kind: 'other' }],
    [hello(serverName('a.example'), serverName('b.example')), { kind: 'other' }],
    [hello(extension(0, Buffer.alloc(0))), { kind: 'other' }],
    [hello(extension(0, Buffer.of(0, 5, 0, 0, 9, 65, 65))), { kind: 'other' }],
    [hello(extension(0, Buffer.of(0, 4, 0, 0, 1, 65, 66))), { kind: 'other' }],
  ] as const) {
    t.strictSame(clientHelloName(bytes), expected);
  }
});

t.test('lengths that can not be', async (t) => {
  const at = (offset: number, ...values: number[]): Buffer => {
    const bytes = Buffer.from(WRITTEN_OUT);
    bytes.set(values, offset);
    return bytes;
  };
  const record = 5;
  const sessionAt = record + 4 + 2 + 32;
  for (const [what, bytes] of [
    ['an alert', at(0, 21)],
    ['another major version', at(1, 2)],
    ['an empty record', at(3, 0, 0)],
    ['a record above the limit', at(3, 0x40, 1)],
    ['a ServerHello', at(record, 2)],
    [
      'a message that ends in its random',
      Buffer.concat([Buffer.of(22, 3, 1, 0, 8, 1, 0, 0, 4), Buffer.alloc(4)]),
    ],
    ['a session id beyond the message', at(sessionAt, 32)],
    [
      'a session id above the limit',
      inRecords(helloMessage({ sessionId: Buffer.alloc(33), extensions: [] })),
    ],
    ['ciphers beyond the message', at(sessionAt + 1, 0xff, 0xff)],
    ['extensions beyond the message', at(sessionAt + 7, 0, 0x13)],
    ['bytes behind the extensions', at(sessionAt + 7, 0, 0x11)],
    ['an extension beyond its block', at(sessionAt + 11, 0, 0x0f)],
    ['SSL 2', Buffer.from('802e0103010015', 'hex')],
  ] as const) {
    t.equal(clientHelloName(bytes).kind, 'other', what);
  }
  const second = Buffer.concat([inRecords(NAMED, [10]).subarray(0, 15), Buffer.of(23, 3, 3, 0, 1, 0)]);
  t.equal(clientHelloName(second).kind, 'other', 'another kind of record in between');
});

t.test('anything at all', async () => {
  survivesAnything(clientHelloName, [WRITTEN_OUT, inRecords(NAMED), inRecords(NAMED, [9, 60, 1])]);
});

t.test('any names in any records, amid any extensions', async (t) => {
  const other = fc
    .record({ type: fc.integer({ min: 1, max: 65535 }), body: fc.uint8Array({ maxLength: 60 }) })
    .map(({ type, body }) => extension(type, Buffer.from(body)));
  const others = fc.uniqueArray(other, { selector: (bytes) => bytes.readUInt16BE(0), maxLength: 6 });
  fc.assert(
    fc.property(
      fc.option(fc.domain(), { nil: undefined }),
      others,
      others,
      fc.array(fc.integer({ min: 1, max: 80 }), { maxLength: 8 }),
      fc.uint8Array({ maxLength: 32 }),
      (name, before, after, sizes, sessionId) => {
        const extensions = [...before, ...(name ? [serverName(name)] : []), ...after];
        const whole = inRecords(helloMessage({ sessionId: Buffer.from(sessionId), extensions }), sizes);
        const found = clientHelloName(whole);
        const expected = name ? { kind: 'name', name: name.toLowerCase() } : { kind: 'none' };
        if (JSON.stringify(found) !== JSON.stringify(expected)) {
          throw new Error(`${JSON.stringify(found)}, ${JSON.stringify(expected)} expected`);
        }
        for (let length = 0; length < whole.length; length++) {
          if (clientHelloName(whole.subarray(0, length)).kind !== 'more') throw new Error(`at ${length}`);
        }
      },
    ),
    { numRuns: 300, interruptAfterTimeLimit: 10_000 },
  );
  t.pass('300 messages');
});
