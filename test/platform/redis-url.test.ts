import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import {
  formatRedisUrl,
  hideCredentials,
  Mismatch,
  parseRedisUrl,
  type RedisTarget,
  redisName,
} from '../../src/platform/config/index.js';

const node = (address: string, port: number) => ({ address, port });
const plain = { kind: 'server', nodes: [node('h', 6379)], db: 0, tls: false } as const;

t.test('every form', async (t) => {
  const cases: [url: string, target: RedisTarget][] = [
    ['redis://h', plain],
    ['redis://h:6379', plain],
    ['redis://h/', plain],
    ['redis://h/0?tls=false', plain],
    ['redis://127.0.0.1:7000/3', { ...plain, nodes: [node('127.0.0.1', 7000)], db: 3 }],
    ['redis://[FD00:0::1]:7000', { ...plain, nodes: [node('fd00::1', 7000)] }],
    ['rediss://h', { ...plain, tls: true }],
    ['redis://h?tls=true', { ...plain, tls: true }],
    ['redis://user@h', { ...plain, user: 'user' }],
    ['redis://:secret@h', { ...plain, password: 'secret' }],
    ['redis://us%3Aer:p%40s:s%2F@h', { ...plain, user: 'us:er', password: 'p@s:s/' }],
    ['redis://u:p@ss@h', { ...plain, user: 'u', password: 'p@ss' }],
    [
      'redis+sentinel://u:p@a,b:1,[::1]:2/my%20master/4?tls=true&sentinelUser=su&sentinelPassword=s%26p',
      {
        kind: 'sentinel',
        nodes: [node('a', 26379), node('b', 1), node('::1', 2)],
        master: 'my master',
        db: 4,
        tls: true,
        user: 'u',
        password: 'p',
        sentinelUser: 'su',
        sentinelPassword: 's&p',
      },
    ],
    ['redis+sentinel://a/m', { kind: 'sentinel', nodes: [node('a', 26379)], master: 'm', db: 0, tls: false }],
    [
      'redis+cluster://a,b:7/0',
      { kind: 'cluster', nodes: [node('a', 6379), node('b', 7)], db: 0, tls: false },
    ],
  ];
  for (const [url, target] of cases) t.strictSame(parseRedisUrl(url), target, url);
});

t.test('what is wrong is said', async (t) => {
  const cases: [url: string, expected: RegExp][] = [
    ['', /^redis:\/\/HOST:PORT\/DB, rediss/],
    ['memory', /^redis:\/\/HOST/],
    ['redis:h', /^redis:\/\/HOST/],
    ['http://h', /^redis:\/\/HOST/],
    ['toString://h', /^redis:\/\/HOST/],
    ['redis://h#x', /^redis:\/\/HOST/],
    ['redis://', /^HOST:PORT/],
    ['redis://h:0', /^HOST:PORT/],
    ['redis://h:65536', /^HOST:PORT/],
    ['redis://::1', /^HOST:PORT/],
    ['redis://[h]:1', /^HOST:PORT/],
    ['redis://1.2.3.400', /^HOST:PORT/],
    ['redis://u:p/w@h', /^HOST:PORT/],
    ['redis://a,b', /^one HOST:PORT/],
    ['redis://h/x', /^a database number/],
    ['redis://h/0/1', /^a database number/],
    ['redis://u:100%@h', /with %25 for a "%"/],
    ['redis+cluster://h/1', /^no database/],
    ['redis+sentinel://h', /^redis\+sentinel:\/\/HOST:PORT,…\/MASTER\/DB/],
    ['redis+sentinel://h/m/0/0', /^redis\+sentinel:/],
    ['redis+sentinel://h/m/x', /^a database number/],
    ['redis://h?ssl=true', /^after the "\?" each at most once: tls$/],
    ['redis://h?tls=true&tls=true', /^after the "\?"/],
    ['redis://h?sentinelPassword=x', /^after the "\?" each at most once: tls$/],
    ['redis://h?tls=yes', /^tls=true or tls=false/],
    ['rediss://h?tls=false', /^tls=true or tls=false/],
  ];
  for (const [url, expected] of cases) {
    const found = parseRedisUrl(url);
    t.ok(found instanceof Mismatch, url);
    t.match(found, { expected }, url);
  }
});

t.test('credentials are not shown', async (t) => {
  const url = 'redis+sentinel://user:se/c@ret@h/m?sentinelPassword=hidden&tls=true';
  t.equal(hideCredentials(url), 'redis+sentinel://…@h/m?sentinelPassword=…&tls=true');
  const target = parseRedisUrl('redis+sentinel://user:secret@h:1,i/m/2?sentinelPassword=hidden');
  t.equal(target instanceof Mismatch || redisName(target), 'redis+sentinel://h:1,i:26379/m/2');
});

const some = fc.string({ minLength: 1, unit: 'grapheme' });
const address = fc
  .oneof(
    fc.ipV4(),
    fc.ipV6().map((text) => `[${text}]`),
    fc.domain(),
  )
  .map((text) => parseRedisUrl(`redis://${text}`))
  .filter((one) => !(one instanceof Mismatch))
  .map((one) => (one instanceof Mismatch ? '' : (one.nodes[0]?.address ?? '')));
const endpoint = fc.record({ address, port: fc.integer({ min: 1, max: 65_535 }) }, { noNullPrototype: true });
const common = { db: fc.nat({ max: 99_999 }), tls: fc.boolean(), user: some, password: some };
const optional = { noNullPrototype: true, requiredKeys: ['kind', 'nodes', 'db', 'tls'] } as const;
const target: fc.Arbitrary<RedisTarget> = fc.oneof(
  fc.record(
    { ...common, kind: fc.constant('server' as const), nodes: fc.tuple(endpoint) },
    { ...optional, requiredKeys: [...optional.requiredKeys] },
  ),
  fc.record(
    {
      ...common,
      db: fc.constant(0),
      kind: fc.constant('cluster' as const),
      nodes: fc.array(endpoint, { minLength: 1 }),
    },
    { ...optional, requiredKeys: [...optional.requiredKeys] },
  ),
  fc.record(
    {
      ...common,
      kind: fc.constant('sentinel' as const),
      nodes: fc.array(endpoint, { minLength: 1 }),
      master: some,
      sentinelUser: some,
      sentinelPassword: some,
    },
    { ...optional, requiredKeys: [...optional.requiredKeys, 'master'] },
  ),
);

t.test('a target reads back from its URL', async (t) => {
  const same = fc.property(target, (one) => assert.deepEqual(parseRedisUrl(formatRedisUrl(one)), one));
  fc.assert(same, { interruptAfterTimeLimit: 2_000, markInterruptAsFailure: false });
  const never = fc.property(fc.string(), (text) => void parseRedisUrl(`redis://${text}`));
  fc.assert(never, { interruptAfterTimeLimit: 1_000, markInterruptAsFailure: false });
  t.pass('for all that were tried, and nothing throws');
});
