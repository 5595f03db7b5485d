/** Every condition of `stitch: { after: … }` on a running connection: not before it holds, and then with its cause. */
import t, { type Test } from 'tap';
import { addressOf, endpointOf, HTTP_PORT, RAW_PORT, route, type StitchConfig } from '../../src/lab/stage.js';
import type { FlowDetail } from '../../src/switch/admin-protocol.js';
import type { Ends, StreamResult } from '../support/lab/results.js';
import { type Client, Rig } from '../support/lab/rig.js';

const MINUTES = 60_000;
/** Long enough for several looks at the policy. */
const A_WHILE_MS = 400;
const BURST = 40_000;
const LAST = 2_000_000;
/** More than is transferred while the shell's load is waited for. */
const ENDLESS = 200_000_000_000;
const BUSY_PORT = 8199;

/** `HH:MM` of the time that is `minutes` from now, where this test and the shell run. */
function clockTime(minutes: number): string {
  const date = new Date(Date.now() + minutes * MINUTES);
  return [date.getHours(), date.getMinutes()].map((part) => String(part).padStart(2, '0')).join(':');
}

const WINDOW = `${clockTime(-30)}-${clockTime(60)}`;
const OTHER_WINDOW = `${clockTime(120)}-${clockTime(180)}`;
const GET = 'GET /ping HTTP/1.1\r\nHost: api.example.org\r\n\r\n';

const POLICIES = {
  bytes: { after: { bytes: 2 * BURST + 1 } },
  packets: { after: { packets: 60 } },
  age: { after: { age: '2s' } },
  shellLoad: { after: { shellLoad: 0.5 } },
  inWindow: { after: { timeOfDay: WINDOW } },
  outOfWindow: { after: { timeOfDay: OTHER_WINDOW } },
  type: { after: { type: ['tls', '*.example.org'] } },
  otherType: { after: { type: ['tls'] } },
  together: { after: { bytes: 2 * BURST + 1, age: '1s', timeOfDay: WINDOW, type: ['plain'] } },
} as const;
type Policy = keyof typeof POLICIES;
const NAMES = Object.keys(POLICIES) as Policy[];
const portOf = (name: Policy): number => 8101 + NAMES.indexOf(name);
const isHttp = (name: Policy): boolean => name === 'type' || name === 'otherType';

t.test('policies', async (t) => {
  const rig = await Rig.up(t);
  const routes = NAMES.map((name) =>
    route(portOf(name), isHttp(name) ? HTTP_PORT : RAW_PORT, POLICIES[name] as unknown as StitchConfig),
  );
  await rig.startPath({ routes: [...routes, route(BUSY_PORT, HTTP_PORT, 'never')] });

  interface Talk {
    readonly client: Client;
    readonly ends: Ends;
    /** Lets the client take its next step, and gives what came of it. */
    next(): Promise<StreamResult>;
  }

  async function talk(name: Policy, sizes: readonly number[]): Promise<Talk> {
    const gos = sizes.map(() => rig.go());
    const steps = sizes.map((bytes, i) => ({ go: gos[i]?.path, bytes, seed: i + 1 }));
    const first = 'ECHO\n';
    const client = rig.startClient('talker', { host: addressOf('a', 4), port: portOf(name), first, steps });
    const { local } = await client.report<Ends>(0);
    const ends = { local, remote: endpointOf('a', portOf(name)) };
    await rig.flowOf(ends, ({ state }) => state === 'relayed' || state === 'stitched');
    let step = 0;
    const next = (): Promise<StreamResult> => {
      gos[step]?.say();
      step += 1;
      return client.report<StreamResult>(step);
    };
    return { client, ends, next };
  }

  async function staysRelayed(t: Test, { ends }: Talk): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, A_WHILE_MS));
    t.equal((await rig.flowOf(ends)).state, 'relayed', 'not yet');
  }

  /** It is stitched because of this, and goes on byte for byte. */
  async function becomesStitched(
    t: Test,
    talk: Talk,
    cause: readonly (string | RegExp)[],
  ): Promise<FlowDetail> {
    const flow = await rig.stitched(talk.ends);
    t.match(flow.stitchCause, cause);
    t.equal(flow.stitchCause?.length, cause.length);
    const last = await talk.next();
    t.equal(last.bytes, LAST);
    t.equal(last.received, last.sent, 'SHA-256');
    await talk.client.finished();
    const closed = await rig.closed(talk.ends);
    t.strictSame(closed.toShellStitched, { packets: 0, bytes: 0 });
    t.same(closed.stitchCause, flow.stitchCause);
    return closed;
  }

  await t.test('bytes', async (t) => {
    const talked = await talk('bytes', [BURST - 1000, 2000, LAST]);
    await talked.next();
    await staysRelayed(t, talked);
    await talked.next();
    await becomesStitched(t, talked, [`bytes>=${2 * BURST + 1}`]);
  });

  await t.test('packets', async (t) => {
    const talked = await talk('packets', [10, ...new Array<number>(40).fill(1), LAST]);
    await talked.next();
    await staysRelayed(t, talked);
    for (let i = 0; i < 40; i++) await talked.next();
    const flow = await becomesStitched(t, talked, ['packets>=60']);
    t.ok(flow.up.packets + flow.down.packets >= 60);
  });

  await t.test('age', async (t) => {
    const talked = await talk('age', [LAST]);
    await staysRelayed(t, talked);
    const flow = await becomesStitched(t, talked, ['age>=2s']);
    const relayedFor = Date.parse(flow.stitchedAt ?? '') - Date.parse(flow.openedAt);
    t.ok(relayedFor >= 1_900, `${relayedFor} ms after it was opened`);
  });

  await t.test('the time of day', async (t) => {
    const other = await talk('outOfWindow', [10]);
    await becomesStitched(t, await talk('inWindow', [LAST]), [`timeOfDay=${WINDOW}`]);
    await staysRelayed(t, other);
    await other.next();
    await other.client.finished();
  });

  await t.test('the type of connection', async (t) => {
    for (const [name, cause] of [
      ['type', 'type=*.example.org'],
      ['otherType', undefined],
    ] as const) {
      const [first, second] = [rig.go(), rig.go()];
      const steps = [first, second].map(({ path }) => ({ go: path, text: GET, answer: 'pong\n' }));
      const client = rig.startClient('talker', { host: addressOf('a', 4), port: portOf(name), steps });
      const { local } = await client.report<Ends>(0);
      const ends = { local, remote: endpointOf('a', portOf(name)) };
      first.say();
      await client.report(1);
      if (cause) t.same((await rig.stitched(ends)).stitchCause, [cause]);
      else await new Promise((resolve) => setTimeout(resolve, A_WHILE_MS));
      second.say();
      await client.finished();
      const flow = await rig.closed(ends);
      t.equal(flow.stitchedAt !== undefined, cause !== undefined, name);
    }
  });

  await t.test('together: the last to come true is told first', async (t) => {
    const talked = await talk('together', [BURST - 1000, 2000, LAST]);
    await talked.next();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await staysRelayed(t, talked);
    await talked.next();
    const causes = [`bytes>=${2 * BURST + 1}`, 'age>=1s', `timeOfDay=${WINDOW}`, 'type=plain'];
    const flow = await becomesStitched(t, talked, causes);
    const shown = await rig.suture('s', [
      'flows',
      'show',
      flow.id,
      '--admin',
      `unix:${rig.stage.adminSocket}`,
    ]);
    t.match(shown.stdout, new RegExp(`^because +bytes>=${2 * BURST + 1}, age>=1s, `, 'm'));
  });

  await t.test('the shell’s load', async (t) => {
    const talked = await talk('shellLoad', [10, LAST]);
    await talked.next();
    await staysRelayed(t, talked);
    const args = { host: addressOf('a', 4), port: BUSY_PORT, mode: 'down', bytes: ENDLESS };
    // One of them spends most of its time in the client and the server.
    const busy = [1, 2, 3, 4].map((seed) => rig.startClient('transfer', { ...args, seed }));
    await becomesStitched(t, talked, ['shellLoad>=0.5']);
    await Promise.all(busy.map((one) => one.stop()));
  });
});
