/** Opening and ending sessions, over a real connection. */
import { Duplex } from 'node:stream';
import t from 'tap';
import { Opening, peerAddress } from '../../src/midcom/opening.js';
import { DEFAULT_LIMITS } from '../../src/midcom/service.js';
import { Session, type SessionStream } from '../../src/midcom/session.js';
import { Transactions } from '../../src/midcom/transactions.js';
import { silentLog } from '../../src/platform/log.js';
import { FakeBackend } from './support/fake-backend.js';
import { FakeClock } from './support/fake-clock.js';
import { connection, openRequest, pairRequest, RawAgent, standing } from './support/raw-agent.js';
import { AGENTS, CutProxy, INNER, OFFERS, OUTER, Rig, recordingLog, until, WATCH } from './support/rig.js';

t.test('an agent that the switch knows opens a session', async (t) => {
  const rig = await Rig.started({ capabilities: ['stitch-ipv4'] });
  t.teardown(() => rig.stop());
  const agent = rig.agent();
  const { epoch, result } = await agent.send(
    openRequest('a1', 'shell', { versions: [7, 1], lifetimeSeconds: 60 }),
  );
  t.strictSame(epoch, { instance: 'instance-1', seconds: 7 });
  if (result?.$case !== 'open') return t.fail(`not opened: ${JSON.stringify(result)}`);
  t.match(result.value, { version: 1, switchName: 's1', lifetimeSeconds: 60, resumed: false });
  t.match(result.value.token, /^[0-9a-f]{32}$/);
  t.strictSame(result.value.capabilities, ['stitch-ipv4']);
  t.match(rig.server.agents()[0], { name: 'a1', connected: true, flows: 0 });
});

t.test('who is refused, and with which code', async (t) => {
  const rig = await Rig.started();
  t.teardown(() => rig.stop());
  const cases: [string, Parameters<typeof openRequest>, string][] = [
    ['no version in common', ['a1', 'shell', { versions: [2, 3] }], 'SUT_VERSION'],
    ['no version at all', ['a1', 'shell', { versions: [] }], 'SUT_REQUEST_INVALID'],
    ['a name that is not configured', ['a9', 'shell'], 'SUT_IDENTITY'],
    ['another role than the configured one', ['a1', 'core'], 'SUT_IDENTITY'],
    ['no role', ['a1', 'shell', { role: 0 }], 'SUT_REQUEST_INVALID'],
  ];
  for (const [name, request, code] of cases) {
    const agent = rig.agent();
    t.equal(await agent.ask(openRequest(...request)), code, name);
    t.equal(await agent.ask(standing(WATCH)), 'SUT_SESSION_STATE', `${name}: the session stays closed`);
    t.match(await agent.open('a2', 'shell'), { $case: 'open' }, `${name}: another try may succeed`);
    agent.close();
    await until(() => !rig.server.agents().some(({ connected }) => connected));
  }
});

t.test('an agent has to come from one of its addresses, or from the host of the switch', async (t) => {
  const transactions = new Transactions({
    backend: new FakeBackend(),
    agents: AGENTS,
    limits: DEFAULT_LIMITS,
    clock: new FakeClock(),
    log: silentLog(),
  });
  const opening = new Opening({
    switchName: 's1',
    capabilities: [],
    transactions,
    limits: DEFAULT_LIMITS,
    ownAddresses: () => ['192.0.2.9', 'FD00:9:0::9'],
  });
  const request = openRequest('a1', 'shell');
  if (request.$case !== 'open') return t.fail('no open request');
  for (const [peer, allowed] of [
    ['10.201.2.2:4000', true],
    ['::ffff:10.201.2.2:4000', true],
    ['fd00:201:2::2:4000', true],
    ['127.0.0.1:4000', true],
    ['::1:4000', true],
    ['192.0.2.9:4000', true],
    ['fd00:9::9:4000', true],
    ['10.201.2.3:4000', false],
    ['10.201.3.2:4000', false],
    ['fe80::1%eth0:4000', false],
    ['unknown', false],
  ] as const) {
    const session = {
      peer,
      since: 0,
      event: () => undefined,
      move: () => undefined,
      terminate: () => undefined,
    };
    const open = () => opening.open(request.value, session);
    if (allowed) t.equal(open().agent.session, session, peer);
    else t.throws(open, { code: 'SUT_IDENTITY' }, peer);
    for (const agent of transactions.agents.values()) agent.session = undefined;
  }
  t.equal(peerAddress('fe80::1%eth0:4000'), 'fe80::1');
});

t.test('the order of requests', async (t) => {
  const rig = await Rig.started();
  t.teardown(() => rig.stop());
  const agent = rig.agent();
  t.equal(await agent.ask(pairRequest(OUTER, INNER)), 'SUT_SESSION_STATE');
  t.equal(await agent.ask({ $case: 'close', value: {} }), 'SUT_SESSION_STATE', 'nothing to close');
  t.match(await agent.open('a1', 'shell'), { $case: 'open' });
  t.equal(await agent.open('a1', 'shell'), 'SUT_SESSION_STATE', 'a session opens once');
  t.equal(await agent.ask(undefined), 'SUT_REQUEST_INVALID', 'a request of a later version');
  t.match(await agent.ask({ $case: 'close', value: {} }), { $case: 'close' });
  await agent.ended;
  t.match(rig.server.agents()[0], { connected: false });
  t.equal(agent.terminated, undefined);
});

t.test('a second session of an agent waits for the end of the first', async (t) => {
  const rig = await Rig.started();
  t.teardown(() => rig.stop());
  const first = rig.agent();
  const opened = await first.open('a1', 'shell');
  if (typeof opened === 'string' || opened.$case !== 'open') return t.fail('not opened');
  const second = rig.agent();
  t.equal(await second.open('a1', 'shell'), 'SUT_CONFLICT');
  t.equal(await second.open('a1', 'shell', { token: 'f'.repeat(32) }), 'SUT_CONFLICT', 'a guessed token');
  const resumed = await second.open('a1', 'shell', { token: opened.value.token });
  t.match(resumed, { $case: 'open', value: { resumed: true, token: opened.value.token } });
  await first.ended;
  t.equal(first.terminated, 'SUT_CONFLICT', 'the first stream is told why');
});

t.test('limits of sessions, streams and requests', async (t) => {
  const clock = new FakeClock();
  const rig = await Rig.started({ limits: { agents: 1, requestsPerSecond: 3 }, clock });
  t.teardown(() => rig.stop());
  const agent = rig.agent();
  await agent.open('a1', 'shell');
  const other = rig.agent();
  t.equal(await other.open('a2', 'shell'), 'SUT_LIMIT');
  const third = rig.agent();
  await third.ended;
  t.equal(third.terminated, 'SUT_LIMIT', 'streams without a session are limited too');
  const list = { $case: 'list' as const, value: { page: '' } };
  const answers = await Promise.all([1, 2, 3, 4].map(() => agent.ask(list)));
  t.equal(answers.filter((answer) => answer === 'SUT_LIMIT').length, 1);
  await clock.advance(1000);
  t.match(await agent.ask(list), { $case: 'list' }, 'a second later there are requests again');
  t.equal(rig.server.counters().rateLimited, 1);
});

t.test('a stream that opens no session ends', async (t) => {
  const clock = new FakeClock();
  const rig = await Rig.started({ clock });
  t.teardown(() => rig.stop());
  const agent = rig.agent();
  await agent.ask(standing(WATCH));
  await clock.advance(10_000);
  await agent.ended;
  t.equal(agent.terminated, 'SUT_TIMEOUT');
});

t.test('a message over the limit ends the stream and nothing else', async (t) => {
  const rig = await Rig.started();
  t.teardown(() => rig.stop());
  const bystander = rig.agent();
  await bystander.open('a2', 'shell');
  const agent = rig.agent();
  await agent.open('a1', 'shell');
  agent.stream.write({ requestId: 9, request: { $case: 'list', value: { page: 'x'.repeat(70_000) } } });
  await agent.ended;
  t.match(await bystander.ask({ $case: 'list', value: { page: '' } }), { $case: 'list' });
});

t.test('bytes that are no message end the stream and nothing else', async (t) => {
  const rig = await Rig.started();
  t.teardown(() => rig.stop());
  const agent = rig.agent();
  await agent.open('a1', 'shell');
  // A number beyond 2^53 can't be held safely, so the message is not read.
  const offsets = { consumedFromPeer: 2 ** 60, injectedToCore: 0, consumedFromCore: 0, injectedToPeer: 0 };
  agent.stream.write({
    requestId: 3,
    request: { $case: 'enable', value: { flowId: 'x', offsets, teardown: 1 } },
  });
  await agent.ended;
  await until(() => !rig.server.agents().some(({ connected }) => connected));
  const next = rig.agent();
  t.match(await next.open('a1', 'shell'), { $case: 'open' });
});

t.test('a stream cut into single bytes', async (t) => {
  const rig = await Rig.started();
  t.teardown(() => rig.stop());
  const proxy = await new CutProxy(rig.control, true).start();
  t.teardown(() => proxy.stop());
  const core = rig.agent();
  await core.open('b1', 'core');
  await core.ask(standing([], OFFERS));
  const agent = new RawAgent(proxy.endpoint);
  t.teardown(() => agent.close());
  t.match(await agent.open('a1', 'shell'), { $case: 'open' });
  t.match(await agent.ask(standing(WATCH)), { $case: 'reserve' });
  t.match(await agent.ask(pairRequest(OUTER, INNER)), { $case: 'reserve', value: { flow: { state: 1 } } });
  t.strictSame(rig.backend.pairs[0]?.inner, connection(INNER));
});

t.test('a switch that stops answers what is under way and ends its sessions', async (t) => {
  const rig = await Rig.started();
  const core = rig.agent();
  await core.open('b1', 'core');
  await core.ask(standing([], OFFERS));
  const agent = rig.agent();
  await agent.open('a1', 'shell');
  await agent.ask(standing(WATCH));
  const release = rig.backend.hold('pair');
  const pair = agent.ask(pairRequest(OUTER, INNER));
  await until(() => rig.backend.calls.includes('pair'));
  const stopped = rig.server.stop();
  const late = agent.ask(pairRequest(OUTER, INNER));
  t.equal(await late, 'SUT_SESSION_STATE');
  release();
  t.match(await pair, { $case: 'reserve' });
  await Promise.all([agent.ended, core.ended, stopped]);
  t.equal(agent.terminated, 'SUT_SHUTTING_DOWN');
  t.equal(core.terminated, 'SUT_SHUTTING_DOWN');
  await rig.stop();
});

t.test('a second stop does not wait', async (t) => {
  const rig = await Rig.started({ graceMs: 60_000 });
  const core = rig.agent();
  await core.open('b1', 'core');
  await core.ask(standing([], OFFERS));
  const agent = rig.agent();
  await agent.open('a1', 'shell');
  await agent.ask(standing(WATCH));
  rig.backend.gates.set('pair', new Promise(() => undefined));
  void agent.ask(pairRequest(OUTER, INNER));
  await until(() => rig.backend.calls.includes('pair'));
  const first = rig.server.stop();
  await rig.server.stop();
  await first;
  t.equal(rig.server.counters().sessions, 0);
});

t.test('without authentication, a warning at every start off loopback', async (t) => {
  for (const [address, warned] of [
    ['127.0.0.1', false],
    ['0.0.0.0', true],
    ['*', true],
  ] as const) {
    const { log, lines } = recordingLog();
    const rig = await Rig.started({ log, listen: { address, port: 0 } });
    await rig.stop();
    t.equal(
      lines.some(({ level, msg }) => level === 'warn' && msg.includes('auth is none')),
      warned,
      address,
    );
  }
});

t.test('a port that is taken', async (t) => {
  const rig = await Rig.started();
  t.teardown(() => rig.stop());
  const second = new Rig({ listen: rig.control });
  await t.rejects(second.server.start(), { code: 'SUT_ALREADY_RUNNING' });
  const foreign = new Rig({ listen: { address: '192.0.2.1', port: 0 }, agents: AGENTS });
  await t.rejects(foreign.server.start(), { code: 'SUT_CONFIG_INVALID' });
});

t.test('a stream that is told to end, and whose agent does not read, is cut', async (t) => {
  const stuck = new Duplex({ objectMode: true, read: () => {}, write: () => {} });
  const stream = Object.assign(stuck, { getPeer: () => '10.201.2.2:1' }) as unknown as SessionStream;
  const clock = new FakeClock();
  const [backend, limits, log] = [new FakeBackend(), DEFAULT_LIMITS, silentLog()];
  const transactions = new Transactions({ backend, agents: AGENTS, limits, clock, log });
  const ended: Session[] = [];
  const session = new Session({
    ...{ stream, transactions, limits, clock, log },
    opening: new Opening({
      switchName: 's1',
      capabilities: [],
      transactions,
      limits,
      ownAddresses: () => [],
    }),
    epoch: () => backend.epoch(),
    onEnd: (one) => ended.push(one),
    count: () => {},
  });
  session.terminate('SUT_LIMIT', 'too slow');
  t.ok(stuck.writableEnded);
  t.strictSame(ended, [], 'it has time to read that');
  await clock.advance(5_000);
  t.ok(stuck.destroyed);
  t.strictSame(ended, [session]);
});
