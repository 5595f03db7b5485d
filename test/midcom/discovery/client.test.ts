/** The search for a switch, with sockets that a test holds the other end of. */
import t from 'tap';
import { type DiscoverOptions, discover } from '../../../src/midcom/discovery/client.js';
import { decodeDatagram, encodeReply, REQUEST_BYTES } from '../../../src/midcom/discovery/codec.js';
import { discoverSwitch } from '../../../src/midcom/discovery/locate.js';
import { Responder } from '../../../src/midcom/discovery/responder.js';
import type { OpenSocket, SocketRequest } from '../../../src/midcom/discovery/socket.js';
import { silentLog } from '../../../src/platform/log.js';
import { FakeClock, turn } from '../support/fake-clock.js';

const PREFIXES = [
  { address: '10.201.2.2', length: 24 },
  { address: 'fd00:201:2::2', length: 64 },
  { address: 'fe80::2', length: 64 },
];
const WAY = { interface: 'eth0', gateways: ['10.201.2.1', 'fe80::1'] };
const NONCE = Uint8Array.from({ length: 12 }, (_, i) => 7 * i);
const FACTS = {
  name: 's1',
  capabilities: ['stitch-ipv4'] as const,
  epoch: { instance: 'abc', seconds: 5 },
  control: { address: '10.201.2.1', port: 57626 },
};

interface Sent {
  readonly at: number;
  readonly target: string;
  readonly bytes: Uint8Array;
}

/** A link: what was sent on it, and a way to send back. */
class Link {
  readonly clock = new FakeClock();
  readonly sent: Sent[] = [];
  readonly requests: SocketRequest[] = [];
  closed = 0;
  onSend: (sent: Sent) => void = () => undefined;
  failing: string | undefined;

  readonly open: OpenSocket = async (request) => {
    if (this.failing === request.family) throw new Error('no such family');
    this.requests.push(request);
    return {
      send: async (bytes, port, address) => {
        if (this.failing === 'send') throw new Error('network is unreachable');
        const sent = { at: this.clock.monotonic(), target: `${address}:${port}`, bytes };
        this.sent.push(sent);
        this.onSend(sent);
      },
      close: () => {
        this.closed++;
      },
    };
  };

  answer(bytes: Uint8Array, from: string): void {
    for (const request of this.requests) {
      if (request.family === (from.includes(':') ? 'ipv6' : 'ipv4')) request.onMessage(bytes, from);
    }
  }

  async search(more: Partial<DiscoverOptions> = {}) {
    const result = discover({
      clock: this.clock,
      log: silentLog(),
      ways: async () => [WAY],
      prefixes: () => PREFIXES,
      openSocket: this.open,
      random: () => 0.5,
      nonce: () => NONCE,
      ...more,
    });
    let done = false;
    void result.then(
      () => {
        done = true;
      },
      () => {
        done = true;
      },
    );
    while (!done) {
      await turn();
      if (!done && this.clock.nextAt !== undefined) {
        await this.clock.advance(this.clock.nextAt - this.clock.monotonic());
      }
    }
    return result;
  }
}

t.test('no way out, or more than one', async (t) => {
  const link = new Link();
  const none = await link.search({ ways: async () => [] });
  t.match(none, { available: false, reason: 'no-way', interfaces: [] });
  const two = await link.search({ ways: async () => [WAY, { interface: 'eth1', gateways: [] }] });
  t.match(two, { available: false, reason: 'several-ways', interfaces: ['eth0', 'eth1'] });
  if (!two.available) t.match(two.message, /eth0, eth1/);
  t.equal(link.sent.length, 0, 'nothing is sent then');
  const failed = discoverSwitch({ clock: link.clock, log: silentLog(), ways: async () => [] });
  await t.rejects(failed, { code: 'SUT_NOT_AVAILABLE', message: /no way out/ });
});

t.test('nobody answers: three tries, doubling waits, one nonce', async (t) => {
  const link = new Link();
  const start = link.clock.monotonic();
  t.match(await link.search(), { available: false, reason: 'no-answer', interfaces: ['eth0'] });
  t.strictSame(
    link.sent.map(({ at, target }) => [at - start, target]),
    [0, 500, 1500].flatMap((at) => [
      [at, '224.0.0.2:57627'],
      [at, '10.201.2.1:57627'],
      [at, 'ff02::2%eth0:57627'],
      [at, 'fe80::1%eth0:57627'],
    ]),
  );
  for (const { bytes } of link.sent) {
    t.strictSame(decodeDatagram(bytes), { kind: 'request', nonce: NONCE });
    t.equal(bytes.length, REQUEST_BYTES);
  }
  t.equal(link.clock.monotonic() - start, 3500);
  t.equal(link.closed, 2);
  t.equal(link.clock.sleeping, 0);
});

t.test('waits differ by a tenth at most', async (t) => {
  for (const [random, wanted] of [
    [0, 450],
    [1, 550],
  ] as const) {
    const link = new Link();
    const start = link.clock.monotonic();
    await link.search({ random: () => random, tries: 2 });
    t.equal(Math.round((link.sent[4]?.at ?? 0) - start), wanted);
  }
});

t.test('a switch answers', async (t) => {
  const link = new Link();
  const responder = new Responder({
    ...FACTS,
    epoch: () => FACTS.epoch,
    control: { port: 57626 },
    interfaces: ['to-a'],
  });
  link.onSend = ({ bytes: payload, target }) => {
    if (target !== '224.0.0.2:57627') return;
    const { reply } = responder.handle(
      {
        interface: 'to-a',
        prefixes: [{ address: '10.201.2.1', length: 24 }],
        source: '10.201.2.2',
        sourcePort: 40_000,
        destination: '224.0.0.2',
        ttl: 1,
        payload,
      },
      0,
    );
    if (reply) link.answer(reply.bytes, '10.201.2.1');
  };
  t.strictSame(await link.search(), {
    available: true,
    interface: 'eth0',
    switch: 's1',
    control: FACTS.control,
    capabilities: FACTS.capabilities,
    epoch: FACTS.epoch,
    ignored: { wrongNonce: 0, malformed: 0, offLink: 0 },
  });
  t.equal(link.sent.length, 4, 'no second try');
  t.equal(link.clock.sleeping, 0);
});

t.test('an answer over IPv6 from a link-local address, to the second try', async (t) => {
  const link = new Link();
  link.onSend = () => {
    if (link.sent.length === 5) link.answer(encodeReply(NONCE, FACTS), 'fe80::1');
  };
  t.match(await link.search(), { available: true, switch: 's1' });
});

t.test('what is no answer is counted and waited past', async (t) => {
  const link = new Link();
  const cut = encodeReply(NONCE, FACTS).subarray(0, 30);
  link.onSend = () => {
    if (link.sent.length !== 1) return;
    link.answer(
      encodeReply(
        NONCE.map((byte) => byte + 1),
        FACTS,
      ),
      '10.201.2.1',
    );
    link.answer(encodeReply(NONCE, FACTS), '10.201.3.1');
    link.answer(encodeReply(NONCE, FACTS), '2001:db8::1');
    link.answer(cut, '10.201.2.1');
    link.answer(Uint8Array.of(1), '10.201.2.1');
    link.answer(link.sent[0]?.bytes ?? cut, '10.201.2.1');
  };
  t.match(await link.search(), {
    available: false,
    reason: 'no-answer',
    ignored: { wrongNonce: 1, offLink: 2, malformed: 3 },
  });
});

t.test('a family without a socket, and a network that does not send', async (t) => {
  const link = new Link();
  link.failing = 'ipv6';
  link.onSend = () => link.answer(encodeReply(NONCE, FACTS), '10.201.2.1');
  t.match(await link.search(), { available: true });
  const dead = new Link();
  dead.failing = 'send';
  t.match(await dead.search(), { available: false, reason: 'no-answer' });
});

t.test('a host with IPv4 alone sends nothing over IPv6', async (t) => {
  const link = new Link();
  await link.search({ prefixes: () => PREFIXES.slice(0, 1), tries: 1 });
  t.strictSame(
    link.sent.map(({ target }) => target),
    ['224.0.0.2:57627', '10.201.2.1:57627'],
  );
});

t.test('a search that is given up closes what it opened', async (t) => {
  const link = new Link();
  const stop = new AbortController();
  link.onSend = () => stop.abort(new Error('enough'));
  await t.rejects(link.search({ signal: stop.signal }), { message: 'enough' });
  t.equal(link.closed, 2);
  await t.rejects(link.search({ signal: stop.signal }), { message: 'enough' });
});
