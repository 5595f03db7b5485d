import t from 'tap';
import {
  addressText,
  addressWords,
  canonicalAddress,
  destinationOf,
  formatEndpoint,
  parseEndpoint,
  sourceOf,
  tupleOf,
} from '../../src/wire/endpoint.js';
import { Tuple } from '../../src/wire/tuple.js';

t.test('addresses as RFC 5952 writes them', async (t) => {
  for (const [text, canonical] of [
    ['10.0.0.1', '10.0.0.1'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['FD00:0201:0:0:0:0:0:2', 'fd00:201::2'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['64:ff9b::10.0.0.1', '64:ff9b::a00:1'],
  ] as const) {
    t.equal(canonicalAddress(text), canonical, text);
  }
  for (const text of ['', '10.0.0', '10.0.0.256', 'fd00::1%eth0', ':::', 'host', '1:2:3']) {
    t.equal(addressWords(text), undefined, text);
  }
  t.equal(addressText([9, 0, 0, 0xffff, 0x0a000001], 1), '10.0.0.1');
});

t.test('endpoints', async (t) => {
  for (const text of ['10.0.0.1:80', '[fd00::1]:65535']) {
    const endpoint = parseEndpoint(text);
    t.ok(endpoint);
    if (endpoint) t.equal(formatEndpoint(endpoint), text);
  }
  for (const text of [
    '10.0.0.1:0',
    '10.0.0.1:65536',
    '10.0.0.1',
    'fd00::1:80',
    '[10.0.0.1]:80',
    '[fd00::1]',
    ':80',
  ]) {
    t.equal(parseEndpoint(text), undefined, text);
  }
});

t.test('tuples', async (t) => {
  const from = { address: '10.0.0.1', port: 40000 };
  const to = { address: '10.0.0.2', port: 80 };
  const tuple = tupleOf(from, to);
  t.equal(tuple.isIpv4, true);
  t.strictSame([sourceOf(tuple), destinationOf(tuple)], [from, to]);
  t.ok(tuple.reversed().equals(tupleOf(to, from)));
  t.notOk(tuple.reversed().equals(tuple));
  t.ok(tuple.clone().equals(tuple));
  t.equal(tuple.clone().hash(), tuple.hash());
  const six = tupleOf({ address: 'fd00::1', port: 1 }, { address: 'fd00::2', port: 65535 });
  t.equal(six.isIpv4, false);
  t.strictSame([six.sourcePort, six.destinationPort], [1, 65535]);
  t.throws(() => tupleOf({ address: 'x', port: 1 }, to), /not an address: x/);
  t.throws(() => tupleOf(from, { address: 'y', port: 1 }), /not an address: y/);
});

t.test('hashes of neighbours spread', async (t) => {
  const buckets = new Map<number, number>();
  const tuple = new Tuple();
  for (let i = 0; i < 4096; i++) {
    tuple.setIpv4(0x0ac90102, 0x0ac90202);
    tuple.setPorts(20000 + i, 8080);
    const bucket = tuple.hash() % 64;
    buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
  }
  t.equal(buckets.size, 64);
  t.ok(Math.max(...buckets.values()) < 128, 'twice the mean');
});
