/** How long flows and standing reservations last, and what is left of them when their time is over. */
import t from 'tap';
import { SutureError } from '../../src/platform/errors.js';
import { FakeClock } from './support/fake-clock.js';
import { lifetimeRequest, pairRequest, standing } from './support/raw-agent.js';
import { INNER, OUTER, until, WATCH } from './support/rig.js';
import { CLOSED, flowOf, scene, status } from './support/scene.js';

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
