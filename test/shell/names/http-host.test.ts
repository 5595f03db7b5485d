import fc from 'fast-check';
import t from 'tap';
import { requestHost } from '../../../src/shell/names/http-host.js';
import { recognize } from '../../../src/shell/names/recognize.js';
import { feedsByteByByte, survivesAnything } from '../parsing.js';
import { helloMessage, inRecords, serverName } from './hello.js';

const host = (text: string) => requestHost(Buffer.from(text, 'latin1'));
const name = (text: string) => ({ kind: 'name', name: text });

const GOOD: [string, object][] = [
  ['GET / HTTP/1.1\r\nHost: example.org\r\n\r\n', name('example.org')],
  [
    'GET / HTTP/1.1\r\nUser-Agent: x\r\nhOsT:\t Example.ORG.:8080 \r\nAccept: */*\r\n\r\nbody',
    name('example.org'),
  ],
  ['POST /a?b=c HTTP/1.1\nHost:example.org\n\n', name('example.org')],
  ['GET http://other.org:81/x HTTP/1.1\r\nHost: example.org\r\n\r\n', name('other.org')],
  ['GET HTTPS://Other.org HTTP/1.1\r\nHost: example.org\r\n\r\n', name('other.org')],
  ['CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n', name('example.org')],
  ['OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', name('a')],
  ['GET / HTTP/1.0\r\n\r\n', { kind: 'none' }],
  ['GET / HTTP/1.1\r\nHost:\r\n\r\n', { kind: 'none' }],
  ['GET / HTTP/1.1\r\nHost: [fd00::1]:80\r\n\r\n', { kind: 'none' }],
  ['GET / HTTP/1.1\r\nHost: 10.0.0.1:80\r\n\r\n', { kind: 'none' }],
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', { kind: 'none' }],
];

t.test('requests', async (t) => {
  for (const [text, expected] of GOOD) {
    const whole = Buffer.from(text);
    const needed = /\r?\n\r?\n/.exec(text);
    t.strictSame(
      feedsByteByByte(t, requestHost, whole, (needed?.index ?? 0) + (needed?.[0].length ?? 0)),
      expected,
      text,
    );
  }
});

t.test('what is no request, or says two things', async (t) => {
  for (const text of [
    'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n',
    'GET / HTTP/1.1\r\nHost : a\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n',
    'GET / HTTP/1.1\r\n Host: a\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a b\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a:b\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n',
    'GET / HTTP/1.1\r\nno colon\r\n\r\n',
    'GET / HTTP/1.1\r\n: a\r\n\r\n',
    'GET http://u@other.org/ HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET / HTTP/2.0\r\n\r\n',
    'GET /\r\n',
    'GET / x HTTP/1.1\r\n',
    'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n',
    'EHLO example.org\r\n',
    `${'A'.repeat(33)}`,
    '\r\nGET / HTTP/1.1\r\n',
    ' GET',
    '\u0000',
    '\u00ff\u00fe',
  ]) {
    t.strictSame(host(text), { kind: 'other' }, JSON.stringify(text));
  }
  t.equal(host('').kind, 'more');
  t.equal(host('GET').kind, 'more');
  t.equal(host('SSH-2.0-OpenSSH_9.2p1 Debian-2').kind, 'more', 'until its first line ends');
});

t.test('a long one takes no long time', async (t) => {
  const blanks = `GET / HTTP/1.1\r\nX:${' '.repeat(200_000)}x\r\nHost: a\r\n\r\n`;
  t.strictSame(host(blanks), name('a'));
  t.strictSame(host(`GET / HTTP/1.1\r\n${'a'.repeat(200_000)}`), { kind: 'more' });
});

t.test('anything at all', async () => {
  survivesAnything(
    requestHost,
    GOOD.map(([text]) => Buffer.from(text)),
  );
  survivesAnything(recognize, [
    inRecords(helloMessage({ extensions: [serverName('a.example')] })),
    ...GOOD.map(([text]) => Buffer.from(text)),
  ]);
});

t.test('a host among any fields', async (t) => {
  const token = fc
    .stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,20}$/)
    .filter((text) => text.toLowerCase() !== 'host');
  const field = fc.tuple(token, fc.stringMatching(/^[ -~]{0,40}$/)).map(([key, value]) => `${key}: ${value}`);
  fc.assert(
    fc.property(fc.array(field), fc.domain(), fc.array(field), (before, domain, after) => {
      const text = ['GET /x HTTP/1.1', ...before, `Host: ${domain}:80`, ...after, '', ''].join('\r\n');
      const found = host(text);
      if (found.kind !== 'name' || found.name !== domain.toLowerCase())
        throw new Error(JSON.stringify(found));
    }),
    { numRuns: 300, interruptAfterTimeLimit: 5_000 },
  );
  t.pass('300 requests');
});

t.test('what kind it is', async (t) => {
  const hello = inRecords(helloMessage({ extensions: [serverName('a.example')] }));
  t.strictSame(recognize(Buffer.alloc(0)), { kind: 'more' });
  t.strictSame(recognize(hello), { kind: 'tls', name: 'a.example' });
  t.strictSame(recognize(hello.subarray(0, 20)), { kind: 'more' });
  t.strictSame(recognize(inRecords(helloMessage({ extensions: [] }))), { kind: 'tls' });
  t.strictSame(recognize(Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')), { kind: 'http', name: 'a' });
  t.strictSame(recognize(Buffer.from('GET / HTTP/1.0\r\n\r\n')), { kind: 'http' });
  t.strictSame(recognize(Buffer.of(22, 9)), { kind: 'plain' });
  t.strictSame(recognize(Buffer.from('SSH-2.0-x\r\n')), { kind: 'plain' });
});
