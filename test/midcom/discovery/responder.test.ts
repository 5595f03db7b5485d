/** Which captured datagrams a switch answers, and with how much. */
import fc from 'fast-check';
import t from 'tap';
import {
  decodeDatagram,
  encodeReply,
  encodeRequest,
  REQUEST_BYTES,
} from '../../../src/midcom/discovery/codec.js';
import {
  type CapturedDatagram,
  Responder,
  type ResponderOptions,
} from '../../../src/midcom/discovery/responder.js';

const NONCE = Uint8Array.from({ length: 12 }, (_, i) => i);
const PREFIXES = [
  { address: '10.201.2.1', length: 24 },
  { address: 'fe80::1', length: 64 },
  { address: 'fd00:201:2::1', length: 64 },
];
const REQUEST: CapturedDatagram = {
  interface: 'to-a',
  prefixes: PREFIXES,
  source: '10.201.2.2',
  sourcePort: 40_000,
  destination: '224.0.0.2',
  ttl: 1,
  payload: encodeRequest(NONCE),
};
const OPTIONS: ResponderOptions = {
  name: 's1',
  capabilities: ['stitch-ipv4', 'stitch-ipv6'],
  epoch: () => ({ instance: 'abc', seconds: 9 }),
  control: { port: 57626 },
  interfaces: ['to-e', 'to-a'],
  isOwn: (address) => address === '10.201.1.1',
};

t.test('a neighbour is answered', async (t) => {
  const responder = new Responder(OPTIONS);
  const { counter, reply } = responder.handle(REQUEST, 0);
  t.equal(counter, 'answered');
  t.match(reply, { address: '10.201.2.2', port: 40_000, interface: 'to-a' });
  t.match(decodeDatagram(reply?.bytes ?? new Uint8Array()), {
    kind: 'reply',
    nonce: NONCE,
    facts: {
      name: 's1',
      control: { address: '10.201.2.1', port: 57626 },
      epoch: { instance: 'abc', seconds: 9 },
    },
  });
  t.match(responder.counters(), { answered: 1, wrongTtl: 0 });
});

t.test('who is answered and who is not', async (t) => {
  const cases: [string, Partial<CapturedDatagram>, string][] = [
    ['to the switch’s own address', { destination: '10.201.2.1' }, 'answered'],
    ['to another of its addresses', { destination: '10.201.1.1' }, 'answered'],
    [
      'IPv6, all routers, from a link-local source',
      { source: 'fe80::2', destination: 'ff02::2' },
      'answered',
    ],
    ['IPv6, from a global source', { source: 'fd00:201:2::2', destination: 'fd00:201:2::1' }, 'answered'],
    ['TTL 64', { ttl: 64 }, 'wrongTtl'],
    ['TTL 2', { ttl: 2 }, 'wrongTtl'],
    ['TTL 0', { ttl: 0 }, 'wrongTtl'],
    ['TTL 255', { ttl: 255 }, 'wrongTtl'],
    ['a source of another link', { source: '10.201.1.2' }, 'offLink'],
    ['a source far away', { source: '192.0.2.7' }, 'offLink'],
    ['an IPv6 source far away', { source: '2001:db8::1', destination: 'ff02::2' }, 'offLink'],
    ['a source just outside the prefix', { source: '10.201.3.0' }, 'offLink'],
    ['nobody', { source: '0.0.0.0' }, 'offLink'],
    ['the unspecified address', { source: '::' }, 'offLink'],
    ['a multicast source', { source: '224.0.0.2' }, 'offLink'],
    ['the limited broadcast', { source: '255.255.255.255' }, 'offLink'],
    ['no port to answer to', { sourcePort: 0 }, 'offLink'],
    ['a source that is no address', { source: 'x' }, 'offLink'],
    ['an interface without addresses', { prefixes: [] }, 'offLink'],
    ['from the switch itself', { source: '10.201.2.1' }, 'own'],
    ['from another interface of the switch', { source: '10.201.1.1' }, 'own'],
    ['to another host', { destination: '10.201.2.3' }, 'notForUs'],
    ['to all hosts', { destination: '224.0.0.1' }, 'notForUs'],
    ['an interface that is not served', { interface: 'eth9' }, 'notServed'],
    ['a reply', { payload: encodeReply(NONCE, { ...facts(), name: 's2' }) }, 'unknown'],
    ['a later version', { payload: damaged(4, 2) }, 'unknown'],
    ['a wrong length', { payload: damaged(7, 1) }, 'malformed'],
    ['something else', { payload: Uint8Array.of(1, 2, 3) }, 'foreign'],
    ['a request without padding', { payload: short(20) }, 'tooShort'],
  ];
  for (const [name, change, outcome] of cases) {
    const responder = new Responder(OPTIONS);
    const { counter, reply } = responder.handle({ ...REQUEST, ...change }, 0);
    t.equal(counter, outcome, name);
    t.equal(
      reply !== undefined,
      outcome === 'answered',
      `${name}: ${outcome === 'answered' ? 'a' : 'no'} reply`,
    );
    t.equal(responder.counters()[counter], 1);
  }
});

t.test('the control address that it names', async (t) => {
  const named = (control: ResponderOptions['control'], change: Partial<CapturedDatagram> = {}) => {
    const { counter, reply } = new Responder({ ...OPTIONS, control }).handle({ ...REQUEST, ...change }, 0);
    const message = decodeDatagram(reply?.bytes ?? new Uint8Array());
    return message.kind === 'reply' ? message.facts.control.address : counter;
  };
  t.equal(named({ port: 1 }), '10.201.2.1', 'on the asker’s subnet');
  t.equal(named({ port: 1 }, { source: 'fd00:201:2::2' }), 'fd00:201:2::1');
  t.equal(named({ port: 1 }, { source: 'fe80::2' }), 'fd00:201:2::1', 'never a link-local one');
  t.equal(named({ port: 1 }, { source: 'fe80::2', prefixes: PREFIXES.slice(0, 2) }), '10.201.2.1');
  t.equal(named({ port: 1 }, { source: 'fe80::2', prefixes: PREFIXES.slice(1, 2) }), 'noControl');
  t.equal(named({ port: 1, address: '10.201.9.1' }), '10.201.9.1', 'the one that it listens on');
  t.equal(named({ port: 1, address: '127.0.0.1' }), 'noControl', 'nobody else reaches loopback');
  t.equal(named({ port: 1, address: '::1' }), 'noControl');
});

t.test('each source gets a few replies, and comes by more with time', async (t) => {
  const responder = new Responder({ ...OPTIONS, perSourceRate: 2, perSourceBurst: 3 });
  const ask = (source: string, now: number): string => responder.handle({ ...REQUEST, source }, now).counter;
  t.strictSame(
    [0, 0, 0, 0].map((now) => ask('10.201.2.2', now)),
    ['answered', 'answered', 'answered', 'rateLimited'],
  );
  t.equal(ask('10.201.2.3', 0), 'answered', 'another source has its own');
  t.equal(ask('10.201.2.2', 500), 'answered');
  t.equal(ask('10.201.2.2', 500), 'rateLimited');
});

t.test('many sources: a bounded table, and a limit over all', async (t) => {
  const responder = new Responder({ ...OPTIONS, overallRate: 50, sources: 10 });
  const outcomes = Array.from({ length: 200 }, (_, i) => {
    const source = `10.201.2.${2 + (i % 200)}`;
    return responder.handle({ ...REQUEST, source }, 0).counter;
  });
  t.equal(outcomes.filter((counter) => counter === 'answered').length, 50);
  t.equal(responder.counters().rateLimited, 150);
});

t.test('no reply is longer than what asked for it', async (t) => {
  const name = fc.string({ minLength: 1, maxLength: 16, unit: 'binary' });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(name, fc.integer({ min: 20, max: 2 * REQUEST_BYTES }), (name, length) => {
        const responder = new Responder({ ...OPTIONS, name });
        const { counter, reply } = responder.handle({ ...REQUEST, payload: short(length) }, 0);
        if (length >= REQUEST_BYTES && counter !== 'answered') return false;
        return reply === undefined ? counter === 'tooShort' : reply.bytes.length <= length;
      }),
      { interruptAfterTimeLimit: 2000 },
    ),
  );
});

t.test('a name that no reply can hold is refused at once', async (t) => {
  t.throws(() => new Responder({ ...OPTIONS, name: '' }), RangeError);
  t.throws(() => new Responder({ ...OPTIONS, name: 'ä'.repeat(33) }), RangeError);
  t.throws(
    () => new Responder({ ...OPTIONS, epoch: () => ({ instance: 'i'.repeat(33), seconds: 0 }) }),
    RangeError,
  );
});

function facts() {
  const control = { address: '10.0.0.1', port: 1 };
  return { name: 's1', capabilities: [], epoch: { instance: '', seconds: 0 }, control };
}

function damaged(at: number, value: number): Uint8Array {
  const bytes = encodeRequest(NONCE);
  bytes[at] = value;
  return bytes;
}

/** A request of another length, that says so itself. */
function short(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(encodeRequest(NONCE).subarray(0, length));
  new DataView(bytes.buffer).setUint16(6, length);
  return bytes;
}
