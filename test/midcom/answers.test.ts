/** Agents that answer what they hear of an end: who is asked in each teardown mode, and what waits for the answer. */
import t from 'tap';
import { SutureError } from '../../src/platform/errors.js';
import { enableRequest, pairRequest, type RawAgent, type Request } from './support/raw-agent.js';
import { INNER, OUTER, until } from './support/rig.js';
import { CLOSED, flowIn, flowOf, scene, status } from './support/scene.js';

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
    const flow = flowIn(rig, id);
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
  const flow = flowIn(rig, id);
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

t.test('a request to stitch that failed does not change who tells whom', async (t) => {
  const { rig, shell, core } = await scene(t, {}, ['teardown']);
  const { id } = flowOf(await shell.ask(pairRequest(OUTER, INNER)));
  const flow = flowIn(rig, id);
  const fins = (agent: RawAgent) => agent.events.filter(({ kind }) => kind === 2);
  rig.backend.emit({ kind: 'fin', from: 'peer', flow });
  await until(() => fins(core).length === 1);
  rig.backend.failures.set('enable', new SutureError('SUT_TABLE_UNAVAILABLE', 'away'));
  t.equal(await shell.ask(enableRequest(id, MODES.shell)), 'SUT_TABLE_UNAVAILABLE');
  t.match(await core.ask(proceed(id, PEER)), { $case: 'proceed' }, 'the core is still the one that is asked');
  await until(() => fins(shell).length === 1);
  rig.backend.emit({ kind: 'fin', from: 'core', flow });
  await until(() => fins(core).length === 2);
  await shell.ask(status(id));
  t.equal(fins(shell).length, 1, 'and is told first');
});

t.test('what is held of a flow of a former process goes on', async (t) => {
  const { rig } = await scene(t);
  rig.backend.move('former', 'closing');
  const flow = flowIn(rig, 'former');
  rig.backend.emit({ kind: 'fin', from: 'peer', held: true, flow });
  await until(() => rig.backend.proceeded.length > 0);
  t.strictSame(rig.backend.proceeded, ['former peer']);
});
