/** The wall clock is set, forwards and back: intervals are the monotonic clock's and do not notice. */
import t from 'tap';
import { silentLog } from '../../src/platform/log.js';
import { PortPool, REST_MS } from '../../src/shell/ports.js';
import { Control } from '../../src/switch/control.js';
import { MemoryTable } from '../../src/table/memory.js';
import { flowRecord } from '../contract/table.js';
import { FakeClock } from '../midcom/support/fake-clock.js';
import { pairRequest, standing } from '../midcom/support/raw-agent.js';
import { INNER, OFFERS, OUTER, Rig, until, WATCH } from '../midcom/support/rig.js';
import { FakePlane } from './fake-plane.js';

const YEAR_MS = 365 * 86_400_000;
const OFFSETS = { consumedFromPeer: 0, injectedToCore: 0, consumedFromCore: 0, injectedToPeer: 0 };

for (const jump of [YEAR_MS, -YEAR_MS]) {
  const way = jump > 0 ? 'forwards' : 'back';

  t.test(`${way}: lifetimes of flows and reservations last as long as they should`, async (t) => {
    const clock = new FakeClock();
    const rig = await Rig.started({ clock, limits: { lifetimeSeconds: 100 } });
    t.teardown(() => rig.stop());
    const [shell, core] = [rig.agent(), rig.agent()];
    await core.open('b1', 'core');
    await core.ask(standing([], OFFERS));
    await shell.open('a1', 'shell');
    await shell.ask(standing(WATCH));
    await shell.ask(pairRequest(OUTER, INNER));
    clock.wallJump = jump;
    await clock.advance(90_000);
    t.equal(rig.server.counters().flows, 1, 'not before its time');
    await clock.advance(20_000);
    await until(() => rig.server.counters().flows === 0);
    t.ok(rig.backend.calls.includes('close'), 'and then it ends');
  });

  t.test(`${way}: an open flow stays in the table, a closed one goes`, async (t) => {
    const clock = new FakeClock();
    const [plane, table] = [new FakePlane(), new MemoryTable()];
    const log = silentLog();
    const control = new Control({ plane, table, clock, log, drainLimit: 100, agentOf: () => 'a1' });
    await control.start();
    t.teardown(() => control.stop());
    const { outer, inner } = flowRecord('1');
    await control.pair({ id: '1', outer, inner, shell: 'a1', core: 'b1', openedBy: 'peer' });
    await control.enable('1', OFFSETS, 'core');
    clock.wallJump = jump;
    for (let i = 0; i < 5; i++) await clock.advance(1000);
    t.match(await control.flows({}), [{ id: '1', state: 'stitched' }]);
    plane.change('1', 'closed', 'fin');
    clock.wallJump = YEAR_MS;
    for (let i = 0; i < 5; i++) await clock.advance(1000);
    t.same(await control.flows({}), []);
  });

  t.test(`${way}: a port rests for its minute`, async (t) => {
    const clock = new FakeClock();
    const pool = new PortPool({ from: 1, to: 1 }, clock);
    pool.take()?.rest();
    clock.wallJump = jump;
    await clock.advance(REST_MS - 1);
    t.equal(pool.take(), undefined);
    await clock.advance(1);
    t.equal(pool.take()?.port, 1);
  });
}
