/** Flows whose connection the core opened: which core agrees to them, and what the backend is told. */
import t from 'tap';
import { ControlClient } from '../../src/midcom/client.js';
import type { Reservation } from '../../src/midcom/port.js';
import { systemClock } from '../../src/platform/clock.js';
import { silentLog } from '../../src/platform/log.js';
import {
  callsRequest,
  connection,
  enableRequest,
  pairRequest,
  type RawAgent,
  type Request,
  standing,
} from './support/raw-agent.js';
import { OFFERS, Rig, WATCH } from './support/rig.js';

const BY_PEER = 1;
const BY_CORE = 2;
const SOCKS = '10.201.2.2:1080';
/** The core's connection to the shell, and the shell's to the peer. */
const INNER = `${SOCKS}>10.201.3.2:41000`;
const OUTER = '10.201.2.2:20000>10.201.1.2:8080';

const call = (inner = INNER, outer = OUTER): Request => pairRequest(outer, inner, 0, BY_CORE);

async function scene(t: { teardown(work: () => unknown): void }, core: Request) {
  const rig = await Rig.started();
  t.teardown(() => rig.stop());
  const [shell, agent] = [rig.agent(), rig.agent()];
  await shell.open('a1', 'shell');
  await agent.open('b1', 'core');
  await shell.ask(standing([...WATCH, SOCKS]));
  const granted = await agent.ask(core);
  return { rig, shell, agent, granted };
}

async function codeOf(shell: RawAgent, request: Request): Promise<string> {
  const result = await shell.ask(request);
  return typeof result === 'string' ? result : 'done';
}

t.test('a core that lets any call be stitched', async (t) => {
  const { rig, shell, agent } = await scene(t, callsRequest([]));
  t.match(await shell.ask(call()), { $case: 'reserve', value: { flow: { state: 1 } } });
  t.match(rig.backend.pairs, [
    { openedBy: 'core', shell: 'a1', core: 'b1', outer: connection(OUTER), inner: connection(INNER) },
  ]);
  t.match(await agent.ask({ $case: 'list', value: { page: '' } }), { value: { flows: [{ state: 1 }] } });
  t.match(rig.server.agents().find(({ name }) => name === 'b1')?.calls, 'any');
});

t.test('who else may have such a flow', async (t) => {
  const cases: [string, Request, Request, string][] = [
    ['to an endpoint that the core names', callsRequest([SOCKS]), call(), 'done'],
    ['to another one', callsRequest(['10.201.2.2:1081']), call(), 'SUT_NOT_OFFERED'],
    ['offers are no calls', standing([], OFFERS), call(), 'SUT_NOT_OFFERED'],
    [
      'from an address that is no core’s',
      callsRequest([]),
      call(`${SOCKS}>10.201.1.9:41000`),
      'SUT_NOT_OFFERED',
    ],
    [
      'to a listener that the shell has not reserved',
      callsRequest([]),
      call('10.201.2.2:1081>10.201.3.2:41000'),
      'SUT_NOT_OWNER',
    ],
    [
      'from a port that the shell has not reserved',
      callsRequest([]),
      call(INNER, '10.201.2.2:30000>10.201.1.2:8080'),
      'SUT_NOT_OWNER',
    ],
    ['calls are no offers', callsRequest([]), pairRequest(OUTER, INNER, 0, BY_PEER), 'SUT_NOT_OFFERED'],
    ['an end that is none', callsRequest([]), pairRequest(OUTER, INNER, 0, 3), 'SUT_REQUEST_INVALID'],
  ];
  for (const [what, core, request, expected] of cases) {
    const { shell } = await scene(t, core);
    t.equal(await codeOf(shell, request), expected, what);
  }
});

t.test('only a core may let calls be stitched', async (t) => {
  const { shell } = await scene(t, callsRequest([]));
  t.equal(await codeOf(shell, callsRequest([])), 'SUT_REQUEST_INVALID');
  t.equal(await codeOf(shell, callsRequest([SOCKS])), 'SUT_REQUEST_INVALID');
});

t.test('the client says all of it', async (t) => {
  const rig = await Rig.started();
  const client = (name: 'a1' | 'b1', reservation: Reservation): ControlClient =>
    new ControlClient({
      name,
      role: name === 'a1' ? 'shell' : 'core',
      switch: rig.control,
      reservation,
      clock: systemClock,
      log: silentLog(),
    });
  const watch = [
    { address: '10.201.2.2', from: 1080, to: 1080 },
    { address: '10.201.2.2', from: 20_000, to: 20_009 },
  ];
  const shell = client('a1', { watch, offers: [] });
  const core = client('b1', { watch: [], offers: [], calls: [{ address: '10.201.2.2', port: 1080 }] });
  t.teardown(async () => {
    await Promise.all([shell.stop(), core.stop()]);
    await rig.stop();
  });
  await Promise.all([shell.start(), core.start()]);
  await Promise.all([shell.whenReady(), core.whenReady()]);
  const { id } = await shell.pair(connection(OUTER), connection(INNER), 'core');
  t.match(rig.backend.pairs, [{ id, openedBy: 'core' }]);
  const offsets = { consumedFromPeer: 0, injectedToCore: 12, consumedFromCore: 13, injectedToPeer: 0 };
  await shell.enable(id, offsets, 'core', ['bytes>=1000', 'age>=5s']);
  t.strictSame(rig.backend.offsets.get(id), offsets);
  t.strictSame(rig.backend.causes.get(id), ['bytes>=1000', 'age>=5s']);
});

t.test('a cause that would not do on a terminal', async (t) => {
  for (const [conditions, expected] of [
    [['now'], 'done'],
    [[], 'done'],
    [[''], 'SUT_REQUEST_INVALID'],
    [['\u001b[2J'], 'SUT_REQUEST_INVALID'],
    [['x'.repeat(301)], 'SUT_REQUEST_INVALID'],
    [new Array(17).fill('x'), 'SUT_REQUEST_INVALID'],
  ] as const) {
    const { rig, shell } = await scene(t, callsRequest([]));
    await shell.ask(call());
    const [{ id } = { id: '' }] = rig.backend.pairs;
    t.equal(await codeOf(shell, enableRequest(id, 1, [...conditions])), expected, JSON.stringify(conditions));
    t.strictSame(rig.backend.causes.get(id), conditions[0] === 'now' ? ['now'] : undefined);
  }
});
