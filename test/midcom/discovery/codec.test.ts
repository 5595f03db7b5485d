/** Discovery datagrams: vectors, everything cut short, and everything damaged. */
import fc from 'fast-check';
import t from 'tap';
import {
  CAPABILITY_BITS,
  type Capability,
  decodeDatagram,
  encodeReply,
  encodeRequest,
  MAX_REPLY_BYTES,
  REQUEST_BYTES,
  type SwitchFacts,
} from '../../../src/midcom/discovery/codec.js';

const BUDGET = { interruptAfterTimeLimit: 2000 };
const NONCE = Uint8Array.from({ length: 12 }, (_, i) => 0xa0 + i);
const FACTS: SwitchFacts = {
  name: 's1',
  capabilities: ['stitch-ipv4', 'plaintext'],
  epoch: { instance: 'c0ffee', seconds: 258 },
  control: { address: '10.201.2.1', port: 57626 },
};

const REPLY = [
  '53 55 54 55', // magic
  '01 02 00 38', // version, reply, 56 bytes
  'a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab', // nonce
  '00 00 00 09', // stitch-ipv4, plaintext
  '00 00 01 02', // 258 s
  'e1 1a', // port 57626
  '02 06', // lengths of name and instance
  '00 00 00 00 00 00 00 00 00 00 ff ff 0a c9 02 01', // 10.201.2.1
  '73 31', // s1
  '63 30 66 66 65 65', // c0ffee
].join(' ');

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.split(' '), (byte) => Number.parseInt(byte, 16));
}

t.test('a request', async (t) => {
  const bytes = encodeRequest(NONCE);
  t.equal(bytes.length, REQUEST_BYTES);
  t.strictSame(bytes.subarray(0, 20), bytesOf('53 55 54 55 01 01 00 a0 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab'));
  t.ok(bytes.subarray(20).every((byte) => byte === 0));
  t.strictSame(decodeDatagram(bytes), { kind: 'request', nonce: NONCE });
});

t.test('a reply', async (t) => {
  t.strictSame(encodeReply(NONCE, FACTS), bytesOf(REPLY));
  t.strictSame(decodeDatagram(bytesOf(REPLY)), { kind: 'reply', nonce: NONCE, facts: FACTS });
});

t.test('a datagram at an offset of a larger buffer', async (t) => {
  const buffer = new Uint8Array(200);
  buffer.set(bytesOf(REPLY), 37);
  t.match(decodeDatagram(buffer.subarray(37, 37 + 56)), { kind: 'reply', facts: FACTS });
});

t.test('cut short at every length', async (t) => {
  for (const whole of [bytesOf(REPLY), encodeRequest(NONCE)]) {
    for (let length = 0; length < whole.length; length++) {
      const { kind } = decodeDatagram(whole.subarray(0, length));
      t.equal(kind, length < 4 ? 'foreign' : 'malformed', `${length} bytes`);
    }
  }
});

t.test('what is wrong is told apart', async (t) => {
  const damaged = (at: number, value: number): Uint8Array => {
    const bytes = bytesOf(REPLY);
    bytes[at] = value;
    return bytes;
  };
  const cases: [string, Uint8Array, string][] = [
    ['another magic', damaged(0, 0x54), 'foreign'],
    ['a later version', damaged(4, 2), 'unknown'],
    ['another type', damaged(5, 3), 'unknown'],
    ['a length that is too small', damaged(7, 0x37), 'malformed'],
    ['a length that is too large', damaged(6, 1), 'malformed'],
    ['port 0', damaged(28, 0), 'reply'],
    ['a name that is too long', damaged(30, 3), 'malformed'],
    ['an instance that is too long', damaged(31, 255), 'malformed'],
    ['a name that is no text', damaged(48, 0xff), 'malformed'],
    ['an instance that is no text', damaged(50, 0xc0), 'malformed'],
    ['a byte more', Uint8Array.of(...bytesOf(REPLY), 0), 'malformed'],
  ];
  for (const [name, bytes, kind] of cases) t.equal(decodeDatagram(bytes).kind, kind, name);
  const noPort = damaged(28, 0);
  noPort[29] = 0;
  t.equal(decodeDatagram(noPort).kind, 'malformed', 'port 0');
  const noName = bytesOf(REPLY);
  noName[30] = 0;
  noName[31] = 8;
  t.equal(decodeDatagram(noName).kind, 'malformed', 'no name');
});

t.test('what can’t be encoded is refused', async (t) => {
  t.throws(() => encodeRequest(new Uint8Array(11)), RangeError);
  for (const facts of [
    { ...FACTS, name: '' },
    { ...FACTS, name: 'n'.repeat(65) },
    { ...FACTS, epoch: { instance: 'i'.repeat(33), seconds: 0 } },
    { ...FACTS, control: { address: 'here', port: 1 } },
  ]) {
    t.throws(() => encodeReply(NONCE, facts), RangeError);
  }
});

t.test('any reply comes back as it was, and is no longer than a request', async (t) => {
  const facts = fc.record({
    name: fc.string({ minLength: 1, maxLength: 16, unit: 'binary' }),
    capabilities: fc.subarray(Object.keys(CAPABILITY_BITS) as Capability[]),
    epoch: fc.record({
      instance: fc.string({ maxLength: 8, unit: 'binary' }),
      seconds: fc.nat(0xffffffff),
    }),
    control: fc.record({
      address: fc.constantFrom('10.0.0.1', '255.255.255.255', 'fd00::1', '2001:db8:1:2:3:4:5:6'),
      port: fc.integer({ min: 1, max: 65_535 }),
    }),
  });
  const nonce = fc.uint8Array({ minLength: 12, maxLength: 12 });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(nonce, facts, (nonce, facts) => {
        const bytes = encodeReply(nonce, facts);
        if (bytes.length > MAX_REPLY_BYTES) return false;
        const back = decodeDatagram(bytes);
        return back.kind === 'reply' && JSON.stringify(back.facts) === JSON.stringify(facts);
      }),
      BUDGET,
    ),
  );
  t.ok(MAX_REPLY_BYTES <= REQUEST_BYTES);
});

t.test('no bytes make it throw', async (t) => {
  const noise = fc.uint8Array({ maxLength: 200 });
  const half = fc.tuple(fc.nat(55), fc.nat(255)).map(([at, value]) => {
    const bytes = bytesOf(REPLY);
    bytes[at] = value;
    return bytes;
  });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.oneof(noise, half), (bytes) => typeof decodeDatagram(bytes).kind === 'string'),
      BUDGET,
    ),
  );
});
