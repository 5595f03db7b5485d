/** Who may do what with a flow, and what a refused request leaves behind. */
import t from 'tap';
import { SutureError } from '../../src/platform/errors.js';
import {
  enableRequest,
  lifetimeRequest,
  pairRequest,
  type RawAgent,
  type Request,
  standing,
} from './support/raw-agent.js';
import { INNER, OFFERS, OUTER, WATCH } from './support/rig.js';
import { CLOSED, flowOf, list, scene, status } from './support/scene.js';

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
  const release = rig.backend.hold('pair');
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
