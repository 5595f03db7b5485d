/** What a shell does with its flows when the switch was away, is another one, or knew a former process of the shell. */
import t from 'tap';
import type { FlowSnapshot } from '../../src/dataplane/port.js';
import type { FlowState } from '../../src/flow/state.js';
import { SutureError } from '../../src/platform/errors.js';
import { bench, HOST, held, opened, readAll, until } from './support.js';

/** Another test's port that is busy is not to rest here. */
const OWN_PORTS = { from: 22_200, to: 22_299 };

t.test('without a session connections are relayed, unpaired', async (t) => {
  const b = await bench({}, { ports: OWN_PORTS });
  t.teardown(() => b.close());
  b.fake.session('lost');
  const { peer, core } = await b.open();
  core.end('hello');
  t.match(await readAll(peer), { data: Buffer.from('hello'), how: 'end' });
  t.match(b.shell.stats(), { switchAbsent: 1, flows: 0 });
  t.same(b.fake.pairs, []);
});

t.test('a session that is lost: relayed flows go on, stitched ones keep their ports', async (t) => {
  const b = await bench({}, { ports: OWN_PORTS });
  t.teardown(() => b.close());
  const relayed = await opened(b, 'f1');
  await opened(b, 'f2');
  b.fake.tell('f2', 'stitched');
  await until(() => b.shell.stats().open === 1, 'stitched');
  b.fake.session('lost');
  const atPeer = readAll(relayed.peer);
  relayed.core.end('on');
  t.match(await atPeer, { data: Buffer.from('on'), how: 'end' });
  b.fake.onRelease = () => Promise.reject(new SutureError('SUT_SESSION_STATE', 'no session'));
  relayed.core.resume();
  relayed.peer.end();
  await until(() => b.shell.stats().open === 0, 'the relayed one ended');
  t.equal(held(b), 2);
  // Closed while nobody was told, and forgotten by the switch.
  b.fake.flows.delete('f2');
  b.fake.onRelease = () => {};
  b.fake.session('resumed');
  await until(() => held(b) === 0, 'both ports are known to be free');
  t.equal(b.fake.released.at(-1), 'f1');
});

t.test(
  'a switch that was restarted: relayed go on, a half-made cut is reset, stitched ports rest',
  async (t) => {
    const b = await bench({}, { ports: OWN_PORTS });
    t.teardown(() => b.close());
    const relayed = await opened(b, 'f1');
    const cutting = await opened(b, 'f2');
    await opened(b, 'f3');
    b.fake.tell('f1', 'refused', 'ecn-differs');
    b.fake.tell('f2', 'cutting');
    b.fake.tell('f3', 'stitched');
    const atCutting = readAll(cutting.peer);
    await until(() => b.shell.stats().open === 2, 'one is stitched');
    b.fake.session('lost');
    b.fake.flows.clear();
    b.fake.session('renewed');
    t.equal((await atCutting).how, 'ECONNRESET');
    const atPeer = readAll(relayed.peer);
    relayed.core.end('on');
    t.match(await atPeer, { data: Buffer.from('on'), how: 'end' });
    relayed.core.resume();
    relayed.peer.end();
    await until(() => b.shell.stats().open === 0, 'ended');
    t.match(b.shell.stats(), { lost: 3, flows: 0, ports: [{ held: 0, resting: 2 }] });
    t.same(b.fake.released, [], 'the new switch knows none of them');
  },
);

t.test('a shell that was killed and started again: what its former process left', async (t) => {
  const b = await bench({}, { ports: OWN_PORTS });
  t.teardown(() => b.close());
  const zero = { packets: 0, bytes: 0 };
  const leftAs = (id: string, port: number, ...states: FlowState[]): FlowSnapshot => ({
    id,
    state: states.at(-1) ?? 'relayed',
    up: zero,
    down: zero,
    toShellStitched: zero,
    history: states.map((state, at) => ({ state, at })),
    ends: {
      outer: { local: b.listen, remote: { address: HOST, port: 1 } },
      inner: { local: { address: HOST, port }, remote: b.core },
    },
  });
  // More of them than one connection tries ports.
  const stitched = Array.from({ length: 20 }, (_, i) =>
    leftAs(`left${i}`, OWN_PORTS.from + i, 'relayed', 'clamping', 'stitched'),
  );
  b.fake.session('opened', [...stitched, leftAs('relayed', OWN_PORTS.from + 20, 'watched', 'relayed')]);
  await until(() => b.fake.released.length === 1, 'what was not cut is released');
  t.same(b.fake.released, ['relayed']);
  await until(() => held(b) === 20, 'the ports of stitched flows alone are taken');
  await b.open();
  t.equal(b.fake.pairs[0]?.inner.local.port, OWN_PORTS.from + 21, 'and not tried for a new connection');
  for (const { id } of stitched) b.fake.tell(id, 'closed', 'fin');
  t.equal(held(b), 1, 'free again when their flows have ended');
});
