/** Who may do what with a flow, what a refused request leaves behind, and who hears of what. */
import t from 'tap';
import type { FlowState } from '../../src/midcom/gen/suture/v1/common.js';
import type { ControlServerOptions } from '../../src/midcom/server.js';
import { SutureError } from '../../src/platform/errors.js';
import { FakeClock, turn } from './support/fake-clock.js';
import {
  enableRequest,
  lifetimeRequest,
  pairRequest,
  type RawAgent,
  type Request,
  type Result,
  standing,
} from './support/raw-agent.js';
import { INNER, OFFERS, OUTER, Rig, until, WATCH } from './support/rig.js';

const STITCHED: FlowState = 5;
const CLOSED: FlowState = 7;

interface Scene {
  readonly rig: Rig;
  readonly shell: RawAgent;
  readonly core: RawAgent;
}

async function scene(
  t: Tap,
  options: Partial<ControlServerOptions> = {},
  capabilities: string[] = [],
): Promise<Scene> {
  const rig = await Rig.started(options);
  t.teardown(() => rig.stop());
  const shell = rig.agent();
  const core = rig.agent();
  await shell.open('a1', 'shell', { capabilities });
  await core.open('b1', 'core', { capabilities });
  await shell.ask(standing(WATCH));
  await core.ask(standing([], OFFERS));
  return { rig, shell, core };
}
type Tap = { teardown(work: () => unknown): void };

function flowOf(result: Result | string) {
  if (typeof result === 'string') throw new Error(`refused: ${result}`);
  if (result.$case === 'reserve' || result.$case === 'enable' || result.$case === 'changeLifetime') {
    if (result.value.flow) return result.value.flow;
  }
  throw new Error(`no flow in ${result.$case}`);
}

const status = (flowId: string): Request => ({ $case: 'status', value: { flowId } });
const list = (page = ''): Request => ({ $case: 'list', value: { page } });

t.test('pair, enable, status, list, release', async (t) => {
  const { rig, shell, core } = await scene(t);
  const flow = flowOf(await shell.ask(pairRequest(OUTER, INNER)));
  t.match(flow, { state: 1, reason: '', up: { bytes: 2 ** 40 + 1 } });
  t.match(rig.backend.pairs[0], { id: flow.id, shell: 'a1', core: 'b1' });
  t.match(await shell.ask(enableRequest(flow.id)), {
    $case: 'enable',
    value: { flow: { id: flow.id, state: 3 } },
  });
  t.strictSame(rig.backend.offsets.get(flow.id), {
    consumedFromPeer: 1,
    injectedToCore: 2,
    consumedFromCore: 3,
    injectedToPeer: 4,
  });
  for (const agent of [shell, core]) {
    t.match(await agent.ask(status(flow.id)), { $case: 'status', value: { flow: { id: flow.id } } });
    t.match(await agent.ask(list()), { $case: 'list', value: { flows: [{ id: flow.id }], next: '' } });
  }
  const released = flowOf(await shell.ask(lifetimeRequest(flow.id, 0)));
  t.match(released, { state: CLOSED, reason: 'released' });
  t.equal(await shell.ask(status(flow.id)), 'SUT_FLOW_UNKNOWN');
  t.match(await core.ask(list()), { $case: 'list', value: { flows: [] } });
  t.match(await shell.ask(pairRequest(OUTER, INNER)), { $case: 'reserve' }, 'its connections are free again');
});

t.test('requests that are refused change nothing', async (t) => {
  const { rig, shell, core } = await scene(t);
  const stranger = rig.agent();
  await stranger.open('a2', 'shell');
  await stranger.ask(standing(['10.201.2.3:8080', '10.201.2.3:20000-20099']));
  const { id } = flowOf(await shell.ask(pairRequest(OUTER, INNER)));
  const calls = rig.backend.calls.filter((name) => name !== 'list').length;
  const owned = [...rig.backend.owned];
  const other = '10.201.2.2:8080>10.201.1.2:40001';
  const inner = '10.201.2.2:20001>10.201.3.2:8080';
  const cases: [string, RawAgent, Request, string][] = [
    [
      'a connection that is not the shell’s',
      shell,
      pairRequest('10.201.2.3:8080>10.201.1.2:1', inner),
      'SUT_NOT_OWNER',
    ],
    [
      'an inner one that is not',
      shell,
      pairRequest(other, '10.201.2.3:20001>10.201.3.2:8080'),
      'SUT_NOT_OWNER',
    ],
    [
      'an outer port that is not reserved',
      shell,
      pairRequest('10.201.2.2:81>10.201.1.2:1', inner),
      'SUT_NOT_OWNER',
    ],
    [
      'an inner port that is not',
      shell,
      pairRequest(other, '10.201.2.2:30000>10.201.3.2:8080'),
      'SUT_NOT_OWNER',
    ],
    [
      'a core that offers nothing',
      shell,
      pairRequest(other, '10.201.2.2:20001>10.201.3.2:81'),
      'SUT_NOT_OFFERED',
    ],
    ['an outer connection in use', shell, pairRequest(OUTER, inner), 'SUT_CONFLICT'],
    ['an inner connection in use', shell, pairRequest(other, INNER), 'SUT_CONFLICT'],
    ['a core that pairs', core, pairRequest(other, inner), 'SUT_REQUEST_INVALID'],
    [
      'an address that is none',
      shell,
      pairRequest('10.201.2.300:8080>10.201.1.2:1', inner),
      'SUT_REQUEST_INVALID',
    ],
    ['port 0', shell, pairRequest('10.201.2.2:0>10.201.1.2:1', inner), 'SUT_REQUEST_INVALID'],
    [
      'a port beyond 65535',
      shell,
      pairRequest('10.201.2.2:8080>10.201.1.2:65536', inner),
      'SUT_REQUEST_INVALID',
    ],
    [
      'no reservation named',
      shell,
      { $case: 'reserve', value: { what: undefined, lifetimeSeconds: 0 } },
      'SUT_REQUEST_INVALID',
    ],
    ['a range of another', shell, standing(['10.201.2.3:8080']), 'SUT_NOT_OWNER'],
    ['an offer of another', core, standing([], ['10.201.3.3:8080']), 'SUT_NOT_OWNER'],
    ['a shell that offers', shell, standing(WATCH, ['10.201.2.2:9']), 'SUT_REQUEST_INVALID'],
    ['a core that watches', core, standing(['10.201.3.2:9']), 'SUT_REQUEST_INVALID'],
    ['ranges that overlap', shell, standing(['10.201.2.2:1-9', '10.201.2.2:9-10']), 'SUT_REQUEST_INVALID'],
    ['an empty range', shell, standing(['10.201.2.2:9-1']), 'SUT_REQUEST_INVALID'],
    ['enable, an unknown flow', shell, enableRequest('nix'), 'SUT_FLOW_UNKNOWN'],
    ['enable, another’s flow', stranger, enableRequest(id), 'SUT_NOT_OWNER'],
    ['enable, by the core', core, enableRequest(id), 'SUT_REQUEST_INVALID'],
    ['enable, a teardown that is not there', shell, enableRequest(id, 5), 'SUT_REQUEST_INVALID'],
    ['enable, no teardown', shell, enableRequest(id, 0), 'SUT_REQUEST_INVALID'],
    ['release, another’s flow', stranger, lifetimeRequest(id, 0), 'SUT_NOT_OWNER'],
    ['release, an unknown flow', core, lifetimeRequest('nix', 0), 'SUT_FLOW_UNKNOWN'],
    ['status, another’s flow', stranger, status(id), 'SUT_NOT_OWNER'],
    ['a page that is none', shell, list('nix'), 'SUT_REQUEST_INVALID'],
  ];
  for (const [name, agent, request, code] of cases) t.equal(await agent.ask(request), code, name);
  t.equal(
    rig.backend.calls.filter((name) => name !== 'list').length,
    calls,
    'the switch was asked for nothing',
  );
  t.strictSame([...rig.backend.owned], owned);
  t.match(await stranger.ask(list()), { $case: 'list', value: { flows: [] } });
  t.match(await shell.ask(list()), { $case: 'list', value: { flows: [{ id, state: 1 }] } });
  t.equal(rig.server.counters().failures, cases.length);
});

t.test('a request that the switch itself refuses changes nothing', async (t) => {
  const { rig, shell } = await scene(t);
  const failed = new SutureError('SUT_LIMIT', 'full');
  rig.backend.failures.set('pair', failed);
  t.equal(await shell.ask(pairRequest(OUTER, INNER)), 'SUT_LIMIT');
  t.equal(rig.server.counters().flows, 0);
  const { id } = flowOf(await shell.ask(pairRequest(OUTER, INNER)));
  rig.backend.failures.set('enable', failed);
  t.equal(await shell.ask(enableRequest(id)), 'SUT_LIMIT');
  t.match(await shell.ask(enableRequest(id)), { $case: 'enable' }, 'a failed enable leaves the reservation');
  t.equal(await shell.ask(enableRequest(id)), 'SUT_FLOW_STATE', 'an enabled flow is not enabled again');
  rig.backend.failures.set('close', failed);
  t.equal(await shell.ask(lifetimeRequest(id, 0)), 'SUT_LIMIT');
  t.match(await shell.ask(status(id)), { $case: 'status' });
  rig.backend.failures.set('status', failed);
  t.equal(await shell.ask(lifetimeRequest(id, 60)), 'SUT_LIMIT');
  rig.backend.failures.set('own', failed);
  t.equal(await shell.ask(standing(['10.201.2.2:9090'])), 'SUT_LIMIT');
  t.match(await shell.ask(pairRequest('10.201.2.2:8080>10.201.1.2:9', '10.201.2.2:20009>10.201.3.2:8080')), {
    $case: 'reserve',
  });
  rig.backend.failures.set('pair', new Error('a slip') as SutureError);
  t.equal(
    await shell.ask(pairRequest('10.201.2.2:8080>10.201.1.2:8', '10.201.2.2:20008>10.201.3.2:8080')),
    'SUT_INTERNAL',
  );
});

t.test('of two requests for one connection the first gets it, also while it is under way', async (t) => {
  const { rig, shell } = await scene(t);
  let release = (): void => undefined;
  rig.backend.gates.set(
    'pair',
    new Promise((resolve) => {
      release = resolve;
    }),
  );
  const first = shell.ask(pairRequest(OUTER, INNER));
  const second = shell.ask(pairRequest(OUTER, '10.201.2.2:20001>10.201.3.2:8080'));
  t.equal(await second, 'SUT_CONFLICT');
  release();
  t.match(await first, { $case: 'reserve' });
  t.equal(shell.replies.filter(({ requestId }) => requestId > 2).length, 2, 'one reply each');
});

t.test('of two agents that want the same the first gets it', async (t) => {
  const agents = [
    { name: 'a1', role: 'shell', addresses: ['10.201.2.2'] },
    { name: 'a2', role: 'shell', addresses: ['10.201.2.2'] },
    { name: 'b1', role: 'core', addresses: ['10.201.3.2'] },
    { name: 'b2', role: 'core', addresses: ['10.201.3.2'] },
  ] as const;
  const { rig } = await scene(t, { agents });
  const [shell, core] = [rig.agent(), rig.agent()];
  await shell.open('a2', 'shell');
  await core.open('b2', 'core');
  t.equal(await shell.ask(standing(['10.201.2.2:29999-30010'])), 'SUT_CONFLICT');
  t.match(await shell.ask(standing(['10.201.2.2:30000-30010'])), { $case: 'reserve' });
  t.equal(await core.ask(standing([], OFFERS)), 'SUT_CONFLICT');
  t.match(await core.ask(standing([], ['10.201.3.2:9'])), { $case: 'reserve' });
});

t.test(
  'events go to the shell and to the core of a flow, numbered, after the reply that names it',
  async (t) => {
    const { rig, shell, core } = await scene(t);
    const bystander = rig.agent();
    await bystander.open('a2', 'shell');
    const order: string[] = [];
    shell.stream.on('data', ({ message }) => order.push(message?.$case ?? ''));
    const { id } = flowOf(await shell.ask(pairRequest(OUTER, INNER)));
    rig.backend.move(id, 'relayed');
    rig.backend.emit({ kind: 'fin', from: 'peer', flow: { ...(rig.backend.flows.get(id) ?? never()) } });
    rig.backend.move(id, 'closed', 'fin');
    rig.backend.move(id, 'closed', 'fin');
    rig.backend.move('nobody', 'relayed');
    await until(() => shell.events.length === 3 && core.events.length === 3);
    for (const agent of [shell, core]) {
      t.strictSame(
        agent.events.map(({ sequence, kind, from, flow }) => [
          sequence,
          kind,
          from,
          flow?.state,
          flow?.reason,
        ]),
        [
          [1, 1, 0, 2, ''],
          [2, 2, 1, 2, ''],
          [3, 1, 0, CLOSED, 'fin'],
        ],
      );
    }
    t.strictSame(order, ['reply', 'event', 'event', 'event']);
    await turn();
    t.equal(bystander.events.length, 0);
    t.equal(rig.server.counters().flows, 0);
  },
);

function never(): never {
  throw new Error('no such flow');
}

t.test('what happens to a flow before its reply is told after it', async (t) => {
  const { rig, shell } = await scene(t);
  const order: string[] = [];
  shell.stream.on('data', ({ message }) => order.push(message?.$case ?? ''));
  const { pair } = rig.backend;
  rig.backend.pair = async (request) => {
    const flow = await pair.call(rig.backend, request);
    rig.backend.move(request.id, 'relayed');
    return flow;
  };
  t.match(await shell.ask(pairRequest(OUTER, INNER)), { $case: 'reserve' });
  await until(() => shell.events.length === 1);
  t.strictSame(order, ['reply', 'event']);
});

t.test('an end is told once, whether or not the data path reports it too', async (t) => {
  for (const closeByEvent of [true, false]) {
    const { rig, shell, core } = await scene(t);
    rig.backend.closeByEvent = closeByEvent;
    const { id } = flowOf(await shell.ask(pairRequest(OUTER, INNER)));
    t.match(flowOf(await core.ask(lifetimeRequest(id, 0))), { state: CLOSED }, 'a core may close its own');
    await until(() => shell.events.length > 0 && core.events.length > 0);
    await shell.ask(list());
    t.equal(shell.events.length, 1);
    t.match(core.events, [{ flow: { id, state: CLOSED, reason: 'released' } }]);
  }
});

t.test('lifetimes: granted at most what the switch allows, and ended by it', async (t) => {
  const clock = new FakeClock();
  const { rig, shell, core } = await scene(t, { clock, limits: { lifetimeSeconds: 600 } });
  const short = await shell.ask(pairRequest(OUTER, INNER, 60));
  t.match(short, { $case: 'reserve', value: { lifetimeSeconds: 60 } });
  const long = await shell.ask(
    pairRequest('10.201.2.2:8080>10.201.1.2:9', '10.201.2.2:20009>10.201.3.2:8080', 9000),
  );
  t.match(long, { $case: 'reserve', value: { lifetimeSeconds: 600 } });
  const [first, second] = [flowOf(short).id, flowOf(long).id];
  await clock.advance(59_000);
  t.match(await shell.ask(status(first)), { $case: 'status' });
  t.match(await shell.ask(lifetimeRequest(first, 100)), {
    $case: 'changeLifetime',
    value: { lifetimeSeconds: 100 },
  });
  await clock.advance(99_000);
  t.match(await shell.ask(status(first)), { $case: 'status' }, 'renewed');
  await clock.advance(3_000);
  await until(() => shell.events.length === 1 && core.events.length === 1);
  t.match(shell.events[0], { flow: { id: first, state: CLOSED, reason: 'released' } });
  t.equal(await shell.ask(status(first)), 'SUT_FLOW_UNKNOWN');
  t.match(await shell.ask(lifetimeRequest('everything', 600)), {
    $case: 'changeLifetime',
    value: { flow: undefined },
  });
  await core.ask(lifetimeRequest('everything', 600));
  await clock.advance(500_000);
  t.match(await shell.ask(status(second)), { $case: 'status' }, 'all renewed with one request');
  t.equal(rig.backend.owned.size, WATCH.length);
  await clock.advance(102_000);
  await until(() => rig.backend.owned.size === 0);
  t.equal(await shell.ask(status(second)), 'SUT_FLOW_UNKNOWN');
  t.equal(
    await shell.ask(pairRequest(OUTER, INNER)),
    'SUT_NOT_OWNER',
    'the standing reservation has ended as well',
  );
  await shell.ask(standing(WATCH));
  t.equal(await shell.ask(pairRequest(OUTER, INNER)), 'SUT_NOT_OFFERED', 'and the offers of the core');
});

t.test('a flow that can’t be ended at its time is ended later', async (t) => {
  const clock = new FakeClock();
  const { rig, shell } = await scene(t, { clock });
  const { id } = flowOf(await shell.ask(pairRequest(OUTER, INNER, 10)));
  rig.backend.failures.set('close', new SutureError('SUT_INTERNAL', 'busy'));
  await clock.advance(12_000);
  t.match(await shell.ask(status(id)), { $case: 'status' });
  await clock.advance(12_000);
  await until(() => shell.events.length === 1);
  t.equal(rig.server.counters().flows, 0);
});

t.test('everything with lifetime 0 ends it all', async (t) => {
  const clock = new FakeClock();
  const { rig, shell } = await scene(t, { clock });
  await shell.ask(pairRequest(OUTER, INNER));
  await shell.ask(lifetimeRequest('everything', 0));
  await clock.advance(2_000);
  await until(() => rig.backend.owned.size === 0 && shell.events.length === 1);
  t.equal(rig.server.counters().flows, 0);
});

t.test('a standing reservation is replaced; ports that flows need stay owned until these end', async (t) => {
  const { rig, shell } = await scene(t);
  const { id } = flowOf(await shell.ask(pairRequest(OUTER, INNER)));
  t.strictSame([...rig.backend.owned], ['10.201.2.2:8080-8080', '10.201.2.2:20000-29999']);
  await shell.ask(standing(['10.201.2.2:9090', '10.201.2.2:25000-31000']));
  t.strictSame([...rig.backend.owned].sort(), [
    '10.201.2.2:20000-29999',
    '10.201.2.2:30000-31000',
    '10.201.2.2:8080-8080',
    '10.201.2.2:9090-9090',
  ]);
  t.equal(
    await shell.ask(pairRequest('10.201.2.2:9090>10.201.1.2:1', '10.201.2.2:24999>10.201.3.2:8080')),
    'SUT_NOT_OWNER',
  );
  await shell.ask(standing(['10.201.2.2:9090']));
  t.ok(rig.backend.owned.has('10.201.2.2:20000-29999'));
  t.notOk(rig.backend.owned.has('10.201.2.2:30000-31000'), 'no flow needs it');
  rig.backend.move(id, 'broken', 'shell-lost');
  await until(() => rig.backend.owned.size === 1);
  t.strictSame([...rig.backend.owned], ['10.201.2.2:9090-9090']);
});

t.test('the limit of flows', async (t) => {
  const { shell } = await scene(t, { limits: { flowsPerAgent: 1, rangesPerAgent: 2 } });
  const { id } = flowOf(await shell.ask(pairRequest(OUTER, INNER)));
  const next = pairRequest('10.201.2.2:8080>10.201.1.2:9', '10.201.2.2:20009>10.201.3.2:8080');
  t.equal(await shell.ask(next), 'SUT_LIMIT');
  await shell.ask(lifetimeRequest(id, 0));
  t.match(await shell.ask(next), { $case: 'reserve' });
  t.equal(await shell.ask(standing(['10.201.2.2:1', '10.201.2.2:2', '10.201.2.2:3'])), 'SUT_LIMIT');
});

t.test('a long list comes in pages of one moment, none over the size of a message', async (t) => {
  const { rig, shell } = await scene(t, { limits: { messageBytes: 4096 } });
  const ids: string[] = [];
  for (let i = 0; i < 200; i++) {
    const inner = `10.201.2.2:${20_000 + i}>10.201.3.2:8080`;
    ids.push(flowOf(await shell.ask(pairRequest(`10.201.2.2:8080>10.201.1.2:${1000 + i}`, inner))).id);
  }
  const seen: string[] = [];
  let pages = 0;
  for (let page = ''; ; ) {
    const result = await shell.ask(list(page));
    if (typeof result === 'string' || result.$case !== 'list') throw new Error('no list');
    seen.push(...result.value.flows.map(({ id }) => id));
    pages++;
    if (pages === 1) rig.backend.move(ids[199] ?? '', 'stitched');
    page = result.value.next;
    if (page === '') break;
  }
  t.strictSame(seen, ids);
  t.ok(pages > 2);
  t.equal(rig.backend.calls.filter((name) => name === 'list').length, 1);
});

t.test('an agent that comes back has its flows, and hears what it missed', async (t) => {
  const { rig, shell } = await scene(t, { limits: { eventsKept: 3 } });
  const opened = await shell.open('a1', 'shell');
  t.equal(opened, 'SUT_SESSION_STATE');
  const { id } = flowOf(await shell.ask(pairRequest(OUTER, INNER)));
  rig.backend.move(id, 'relayed');
  await until(() => shell.events.length === 1);
  const first = shell.replies[0]?.result;
  const token = first?.$case === 'open' ? first.value.token : '';
  shell.close();
  await until(() => rig.server.agents()[0]?.connected === false);
  rig.backend.move(id, 'clamping');
  rig.backend.move(id, 'stitched');
  const again = rig.agent();
  const resumed = await again.open('a1', 'shell', { token, lastEvent: 1 });
  t.match(resumed, { $case: 'open', value: { resumed: true, eventsLost: false, token } });
  await until(() => again.events.length === 2);
  t.strictSame(
    again.events.map(({ sequence, flow }) => [sequence, flow?.state]),
    [
      [2, 3],
      [3, STITCHED],
    ],
  );
  t.match(await again.ask(list()), { $case: 'list', value: { flows: [{ id, state: STITCHED }] } });
  again.close();
  await until(() => rig.server.agents()[0]?.connected === false);
  for (let i = 0; i < 4; i++) rig.backend.emit({ kind: 'fin', flow: rig.backend.flows.get(id) ?? never() });
  const third = rig.agent();
  t.match(await third.open('a1', 'shell', { token, lastEvent: 3 }), {
    $case: 'open',
    value: { resumed: true, eventsLost: true },
  });
  third.close();
  await until(() => rig.server.agents()[0]?.connected === false);
  const fresh = rig.agent();
  t.match(await fresh.open('a1', 'shell'), { $case: 'open', value: { resumed: false, eventsLost: false } });
  t.match(
    await fresh.ask(list()),
    { $case: 'list', value: { flows: [{ id }] } },
    'flows belong to the agent',
  );
});

const proceed = (flowId: string, from: number): Request => ({ $case: 'proceed', value: { flowId, from } });
const PEER = 1;
const CORE = 2;
const MODES = { core: 1, control: 2, shell: 3, both: 4 } as const;

for (const [mode, number] of Object.entries(MODES)) {
  t.test(`an agent that answers, in teardown mode ${mode}`, async (t) => {
    const { rig, shell, core } = await scene(t, {}, ['teardown']);
    const { id } = flowOf(await shell.ask(pairRequest(OUTER, INNER)));
    await shell.ask(enableRequest(id, number));
    t.equal(rig.backend.teardowns.get(id), mode);
    rig.backend.move(id, 'stitched');
    const flow = rig.backend.flows.get(id) ?? never();
    const held = mode === 'control' || mode === 'shell';
    rig.backend.emit({ kind: 'fin', from: 'core', flow, ...(held && { held }) });
    const asked = { core: [core], shell: [shell], control: [shell, core], both: [] }[mode] ?? [];
    const fins = (agent: RawAgent) => agent.events.filter(({ kind }) => kind === 2);
    for (const agent of [shell, core]) {
      const told = asked.length !== 1 || asked.includes(agent);
      if (told) await until(() => fins(agent).length === 1);
      t.equal(fins(agent)[0]?.answerExpected, told ? asked.includes(agent) : undefined);
      // A status that comes back shows that nothing else is on its way.
      await agent.ask(status(id));
      t.equal(fins(agent).length, told ? 1 : 0);
    }
    for (const agent of [shell, core]) {
      const answer = await agent.ask(proceed(id, CORE));
      if (asked.includes(agent)) t.match(answer, { $case: 'proceed', value: { flow: { id } } });
      else t.equal(answer, 'SUT_REQUEST_INVALID');
    }
    for (const agent of [shell, core]) await until(() => fins(agent).length === 1);
    t.strictSame(
      rig.backend.proceeded,
      asked.map(() => `${id} core`),
    );
    t.equal(await shell.ask(proceed(id, 7)), 'SUT_REQUEST_INVALID', 'of no end');
    t.equal(await shell.ask(proceed('nix', PEER)), 'SUT_FLOW_UNKNOWN');
  });
}

t.test('an answer that comes when the flow is over', async (t) => {
  const { rig, shell, core } = await scene(t, {}, ['teardown']);
  const { id } = flowOf(await shell.ask(pairRequest(OUTER, INNER)));
  await shell.ask(enableRequest(id, MODES.core));
  const flow = rig.backend.flows.get(id) ?? never();
  rig.backend.emit({ kind: 'fin', from: 'peer', flow });
  rig.backend.move(id, 'closed', 'fin');
  await until(() => core.events.some((event) => event.flow?.state === CLOSED));
  t.match(await core.ask(proceed(id, PEER)), { $case: 'proceed', value: { flow: { id } } });
  await until(() => shell.events.some((event) => event.flow?.state === CLOSED));
  const [fin, closed] = shell.events.slice(-2);
  t.match(fin, { kind: 2, toldBy: 2 }, 'told by the core, and before the end');
  t.match(closed, { kind: 1, flow: { reason: 'fin' } });
  t.equal(await core.ask(proceed(id, PEER)), 'SUT_FLOW_UNKNOWN');
});

t.test('what is held of a flow of a former process goes on', async (t) => {
  const { rig } = await scene(t);
  rig.backend.move('former', 'closing');
  const flow = rig.backend.flows.get('former') ?? never();
  rig.backend.emit({ kind: 'fin', from: 'peer', held: true, flow });
  await until(() => rig.backend.proceeded.length > 0);
  t.strictSame(rig.backend.proceeded, ['former peer']);
});
