/** One-hop discovery with the command that people use, from places where it must work and where it must not. */
import t from 'tap';
import { DISCOVERY_PORT } from '../../src/platform/config/index.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';

interface Discovered {
  readonly available: boolean;
  readonly switch?: string;
  readonly control?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly interfaces?: readonly string[];
  readonly ignored: { readonly wrongNonce: number; readonly malformed: number; readonly offLink: number };
}

const NOT_AVAILABLE = 3;
const SWITCH_ADDRESS = { e: '10.201.1.1', a: '10.201.2.1', b: '10.201.3.1' } as const;

async function discover(rig: Rig, host: 'e' | 'a' | 'b' | 'w'): Promise<{ code: number; found: Discovered }> {
  const { code, stdout } = await rig.suture(host, ['discover', '--json']);
  return { code, found: JSON.parse(stdout) as Discovered };
}

t.test('discovery', async (t) => {
  const rig = await Rig.up(t);

  await t.test('nobody there: not available', async (t) => {
    const { code, found } = await discover(rig, 'a');
    t.equal(code, NOT_AVAILABLE);
    t.match(found, { available: false, reason: 'no-answer' });
  });

  await t.test('answers of a forger are ignored and counted', async (t) => {
    const args = { port: DISCOVERY_PORT, address: SWITCH_ADDRESS.a, offLink: SWITCH_ADDRESS.e };
    const forger = rig.startClient('forger', args, { host: 's' });
    await forger.report(0);
    const { code, found } = await discover(rig, 'a');
    t.equal(code, NOT_AVAILABLE);
    t.match(found, { available: false, reason: 'no-answer' });
    for (const [why, count] of Object.entries(found.ignored)) t.ok(count > 0, `${why}: ${count}`);
    await forger.stop();
  });

  await t.test('the same forger, honest: the test can tell the difference', async (t) => {
    const args = { port: DISCOVERY_PORT, address: SWITCH_ADDRESS.a, offLink: SWITCH_ADDRESS.e, honest: true };
    const forger = rig.startClient('forger', args, { host: 's' });
    await forger.report(0);
    t.match(await discover(rig, 'a'), { code: 0, found: { available: true, switch: 'forged' } });
    await forger.stop();
  });

  const gateway = await rig.stage.startSwitch({ dataplane: TEST_DATAPLANE });

  for (const host of ['e', 'a', 'b'] as const) {
    await t.test(`in ${host}: available`, async (t) => {
      const { code, found } = await discover(rig, host);
      t.equal(code, 0);
      t.match(found, { available: true, switch: 's1', interface: 'eth0' });
      t.match(found.control, /^(10\.201\.|\[fd00:201:)/);
    });
  }

  await t.test('a second interface up in A: not available, and why', async (t) => {
    await rig.addWay('a');
    const { code, found } = await discover(rig, 'a');
    t.equal(code, NOT_AVAILABLE);
    t.match(found, { available: false, reason: 'several-ways', interfaces: ['eth0', 'eth1'] });
    t.match(found.message, /2 ways out \(eth0, eth1\)/);
    const { stdout, code: plainCode } = await rig.suture('a', ['discover']);
    t.equal(plainCode, NOT_AVAILABLE);
    t.match(stdout, /^not available: .*eth0, eth1/);
    await rig.tool('a', ['ip', 'link', 'del', 'eth1']);
    t.equal((await discover(rig, 'a')).code, 0, 'available again without it');
  });

  await t.test('two hops away: no answer', async (t) => {
    await makeHostBehindE(rig);
    const { code, found } = await discover(rig, 'w');
    t.equal(code, NOT_AVAILABLE);
    t.match(found, { available: false, reason: 'no-answer' });
  });

  await t.test('what is no request of a neighbour is ignored and counted', async (t) => {
    const count = async (name: string): Promise<number> =>
      (await rig.stage.admin.stats()).counters[`discovery.${name}`] ?? Number.NaN;
    const nonce = 'ab'.repeat(12);
    const request = `535554550101${(160).toString(16).padStart(4, '0')}${nonce}${'00'.repeat(140)}`;
    const to = { port: DISCOVERY_PORT, to: SWITCH_ADDRESS.a, ttl: 1 };
    await rig.tool('a', ['ip', 'addr', 'add', '10.77.0.1/32', 'dev', 'lo']);
    const cases = [
      { counter: 'answered', host: 'a', datagram: { ...to, hex: request } },
      { counter: 'malformed', host: 'a', datagram: { ...to, hex: request.slice(0, -2) } },
      { counter: 'foreign', host: 'a', datagram: { ...to, hex: '00'.repeat(160) } },
      { counter: 'wrongTtl', host: 'a', datagram: { ...to, ttl: 64, hex: request } },
      { counter: 'offLink', host: 'a', datagram: { ...to, from: '10.77.0.1', hex: request } },
      // With the right TTL on arrival, but across a router.
      {
        counter: 'offLink',
        host: 'w',
        datagram: { ...to, to: SWITCH_ADDRESS.e, ttl: 2, hex: request },
      },
    ] as const;
    for (const { counter, host, datagram } of cases) {
      const before = await count(counter);
      const answered = await count('answered');
      await rig.client('datagrams', { list: [datagram] }, { host });
      await rig.stage.until(
        async () => (await count(counter)) > before,
        5000,
        () => `${counter} did not count it`,
      );
      t.equal(await count(counter), before + 1, `${counter}, from ${host}`);
      if (counter !== 'answered') t.equal(await count('answered'), answered, 'no answer');
    }
    const shown = await rig.suture('s', ['stats', '--json', '--admin', `unix:${rig.stage.adminSocket}`]);
    t.ok(JSON.parse(shown.stdout).counters['discovery.malformed'] > 0, 'suture stats shows them');
  });

  await t.test('the switch has stopped: not available', async (t) => {
    await gateway.stop();
    t.match(await discover(rig, 'a'), { code: NOT_AVAILABLE, found: { reason: 'no-answer' } });
  });
});

/** The lab's spare namespace as a host whose only way leads through E. */
async function makeHostBehindE(rig: Rig): Promise<void> {
  const [e, w] = [rig.namespace('e'), rig.namespace('w')];
  await rig.tool('e', ['ip', 'netns', 'add', w]);
  const lines = [`link add to-w netns ${e} type veth peer name eth0 netns ${w}`];
  await rig.tool('s', ['ip', '-batch', '-'], `${lines.join('\n')}\n`);
  await rig.tool('e', ['sh', '-c', 'ip addr add 10.201.9.1/24 dev to-w && ip link set to-w up']);
  await rig.tool('e', ['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
  await rig.tool('w', [
    'sh',
    '-c',
    'ip link set lo up && ip addr add 10.201.9.2/24 dev eth0 && ip link set eth0 up && ip route add default via 10.201.9.1',
  ]);
  // The way back, so that an answer would arrive if there were one.
  await rig.tool('s', ['ip', 'route', 'add', '10.201.9.0/24', 'via', '10.201.1.2']);
}
