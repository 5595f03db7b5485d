/** Who hears of what, in which order, and what an agent that comes back hears of what it missed. */
import t from 'tap';
import { turn } from './support/fake-clock.js';
import { lifetimeRequest, pairRequest } from './support/raw-agent.js';
import { INNER, OUTER, until } from './support/rig.js';
import { CLOSED, flowIn, flowOf, list, STITCHED, scene } from './support/scene.js';

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
    rig.backend.emit({ kind: 'fin', from: 'peer', flow: { ...flowIn(rig, id) } });
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
  for (let i = 0; i < 4; i++) rig.backend.emit({ kind: 'fin', flow: flowIn(rig, id) });
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
