import { MessageChannel } from 'node:worker_threads';
import t from 'tap';
import type { DataPlane, FlowEvent, FlowSnapshot } from '../../src/dataplane/port.js';
import { DataPlaneService, RemoteDataPlane } from '../../src/dataplane/remote.js';
import { SutureError } from '../../src/platform/errors.js';

const SNAPSHOT: FlowSnapshot = {
  id: 'f1',
  state: 'watched',
  up: { packets: 1, bytes: 2 },
  down: { packets: 3, bytes: 4 },
  toShellStitched: { packets: 0, bytes: 0 },
  history: [{ state: 'watched', at: 5 }],
};

function fakePlane(calls: unknown[][]) {
  let tell: (event: FlowEvent) => void = () => {};
  const note =
    <Result>(name: string, result: Result) =>
    async (...args: unknown[]): Promise<Result> => {
      calls.push([name, ...args]);
      return result;
    };
  const plane: DataPlane = {
    kind: 'userspace',
    start: note('start', undefined),
    stop: note('stop', undefined),
    leave: note('leave', undefined),
    forward: note('forward', undefined),
    restore: note('restore', ['1']),
    drop: note('drop', undefined),
    own: note('own', undefined),
    disown: note('disown', undefined),
    pair: note('pair', SNAPSHOT),
    enable: async () => {
      throw new SutureError('SUT_FLOW_UNKNOWN', 'no such flow');
    },
    proceed: note('proceed', SNAPSHOT),
    close: note('close', SNAPSHOT),
    steer: note('steer', undefined),
    list: note('list', [SNAPSHOT]),
    states: note('states', { ids: ['f1'], states: Uint8Array.of(0), savable: Uint8Array.of(0) }),
    counters: note('counters', { received: 7 }),
    onEvent: (listener) => {
      tell = listener;
    },
    onMiss: () => {},
  };
  return { plane, tell: (event: FlowEvent) => tell(event) };
}

t.test('a data path in another thread', async (t) => {
  const { port1, port2 } = new MessageChannel();
  const calls: unknown[][] = [];
  const { plane, tell } = fakePlane(calls);
  const service = new DataPlaneService(plane, port1);
  const remote = new RemoteDataPlane(port2);
  await remote.start();
  t.equal(remote.kind, 'userspace');
  t.teardown(() => port1.close());

  const ports = [{ address: '192.0.2.1', from: 80, to: 80 }];
  await remote.own(ports);
  t.same(await remote.list(), [SNAPSHOT]);
  t.same(await remote.counters(), { received: 7 });
  t.same(calls, [['own', ports], ['list', false, undefined], ['counters']]);
  t.same(await remote.list(true, ['f1']), [SNAPSHOT]);
  t.same(calls.at(-1), ['list', true, ['f1']]);
  t.match(await remote.states(), { ids: ['f1'], states: { 0: 0 } });

  const offsets = { consumedFromPeer: 0, injectedToCore: 0, consumedFromCore: 0, injectedToPeer: 0 };
  await t.rejects(remote.enable('f1', offsets, 'core'), {
    code: 'SUT_FLOW_UNKNOWN',
    message: 'no such flow',
  });

  const told = new Promise<FlowEvent>((resolve) => remote.onEvent(resolve));
  tell({ kind: 'fin', flow: SNAPSHOT, from: 'peer' });
  t.same(await told, { kind: 'fin', flow: SNAPSHOT, from: 'peer' });

  t.same(await remote.proceed('f1', 'core'), SNAPSHOT);
  t.same(calls.at(-1), ['proceed', 'f1', 'core']);

  const polled = remote.close('f1');
  service.poll();
  t.same(calls.at(-1), ['close', 'f1'], 'served between packets, without the event loop');
  t.same(await polled, SNAPSHOT);

  const late = remote.list();
  const rejected = t.rejects(late, { code: 'SUT_SHUTTING_DOWN' });
  await remote.stop();
  await rejected;
});

t.test('a data path that never starts', async (t) => {
  const { port1, port2 } = new MessageChannel();
  const remote = new RemoteDataPlane(port2);
  t.throws(() => remote.kind, { code: 'SUT_INTERNAL' });
  const asked = t.rejects(remote.states(), { code: 'SUT_SHUTTING_DOWN' }, 'what was asked already');
  const started = t.rejects(remote.start(), { code: 'SUT_SHUTTING_DOWN' });
  await remote.stop();
  await Promise.all([asked, started]);
  port1.close();
  await t.rejects(remote.states(), { code: 'SUT_SHUTTING_DOWN' }, 'what is asked afterwards');
});
