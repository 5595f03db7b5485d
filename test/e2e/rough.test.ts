/**
 * Byte by byte through bad wires: connections that are cut over in the middle of writes and reads of all sizes,
 * while every leg loses, delays and repeats segments, and tso, gso and gro are switched at random on all hosts.
 * Both families, every order of the two shutdowns.
 *
 * SUTURE_TEST_ROUNDS (1): how often all of it is done. SUTURE_TEST_SEED: of the first round; it is in the output.
 */
import { randomInt } from 'node:crypto';
import t, { type Test } from 'tap';
import { LAB_LEGS, type LabHost } from '../../src/lab/layout.js';
import { addressOf, endpointOf, type Family, route } from '../../src/lab/stage.js';
import { systemClock } from '../../src/platform/clock.js';
import type { FlowView } from '../../src/switch/admin-protocol.js';
import { badWires } from '../support/lab/bad-wires.js';
import { checkFlowsTo } from '../support/lab/checks.js';
import { compileNative } from '../support/lab/native.js';
import { programEnd } from '../support/lab/programs.js';
import { Rig } from '../support/lab/rig.js';

const ROUNDS = Number(process.env.SUTURE_TEST_ROUNDS ?? 1);
const SEED = Number(process.env.SUTURE_TEST_SEED ?? randomInt(1, 1e6));
const FAMILIES = [4, 6] as const;
const FIRST_PORT = 9100;
/** Of each family; a third of them for each order of the shutdowns. */
const CONNECTIONS = 6;
/** At most this much each way. */
const BYTES = 4_000_000;
const CUT_AFTER = 300_000;
/** Of a thousand segments on each leg. */
const BADNESS = { lost: 10, late: 30, twice: 5, lateUs: 4000 };
const SWITCHING_PAUSE_MS = 40;
const STITCH_MS = 100_000;
const PLAN_BYTES = 32;

interface EndReport {
  readonly local: string;
  readonly remote: string;
  readonly ending: number;
  readonly sent: number;
  readonly received: number;
  readonly expected: number;
  readonly wrongAt: number;
}

const INTERFACES: readonly [LabHost, string][] = LAB_LEGS.flatMap(({ host, switchInterface }) => [
  [host, 'eth0'] as [LabHost, string],
  ['s', switchInterface] as [LabHost, string],
]);

/** Switches offloads of one interface after the other until it is told to stop; how often it did. */
async function switchOffloads(rig: Rig, signal: AbortSignal): Promise<number> {
  let times = 0;
  for (; !signal.aborted; times++) {
    const [host, name] = INTERFACES[randomInt(INTERFACES.length)] ?? ['s', 'to-e'];
    const features = ['tso', 'gso', 'gro'].flatMap((feature) => [feature, randomInt(2) ? 'on' : 'off']);
    await rig.tool(host, ['ethtool', '-K', name, ...features]);
    await systemClock.sleep(SWITCHING_PAUSE_MS);
  }
  return times;
}

const ports = Array.from({ length: ROUNDS }, (_, round) => FIRST_PORT + round);
const routes = FAMILIES.flatMap((family) =>
  ports.map((port) => route(port, port, { after: { bytes: CUT_AFTER } }, family)),
);

t.test('bad wires and changing offloads', async (t) => {
  const rig = await Rig.up(t, { bridged: true });
  t.comment(`SUTURE_TEST_SEED=${SEED}`);
  const wires = await badWires(rig, { ...BADNESS, seed: SEED });
  const { shell } = await rig.startPath({ routes });
  const program = await compileNative('exchange', rig.folder);

  /** The reports of one end, one of each connection. */
  const ends = async (t: Test, host: 'e' | 'b', argv: readonly string[]): Promise<EndReport[]> => {
    const { code, stdout, output } = await programEnd(rig, host, [program, ...argv]);
    t.equal(code, 0, `all is well at ${host}`, { output });
    return stdout.split('\n').flatMap((line) => (line.startsWith('{') ? JSON.parse(line) : []));
  };

  async function exchange(t: Test, port: number, family: Family, go: string, seed: number): Promise<void> {
    const count = String(CONNECTIONS);
    const serving = ends(t, 'b', ['server', addressOf('b', family), String(port), count]);
    await rig.listens('b', port);
    const listen = endpointOf('a', port, family);
    const args = [addressOf('a', family), String(port), count, String(seed), String(BYTES), go];
    const [peers, cores] = await Promise.all([ends(t, 'e', ['client', ...args]), serving]);
    t.equal(peers.length, CONNECTIONS);
    for (const end of [...peers, ...cores]) {
      t.match(end, { received: end.expected, wrongAt: -1 }, 'every byte, and no more');
    }
    const flows = await checkFlowsTo(t, rig, listen, { connections: CONNECTIONS });
    for (const { outer, inner, up, down } of flows) {
      const peer = peers.find(({ local }) => local === outer.remote);
      const core = cores.find(({ remote }) => remote === inner.local);
      t.strictSame([core?.received, peer?.received], [peer?.sent, core?.sent], 'what one sent the other got');
      const carried = [(peer?.sent ?? 0) + PLAN_BYTES, core?.sent];
      t.strictSame([up.bytes, down.bytes], carried, 'the stream bytes of the flow');
    }
  }

  for (const [round, port] of ports.entries()) {
    await t.test(`round ${round + 1}`, async (t) => {
      const stopping = new AbortController();
      const switching = switchOffloads(rig, stopping.signal);
      const go = rig.go();
      const listeners = FAMILIES.map((family) => endpointOf('a', port, family));
      const running = FAMILIES.map((family) =>
        exchange(t, port, family, go.path, SEED + 100 * round + family),
      );
      let waiting: readonly FlowView[] = [];
      const stitched = async (): Promise<boolean> => {
        const flows = await rig.stage.admin.flows();
        const mine = flows.filter(({ outer }) => listeners.includes(outer.local));
        waiting = mine.filter(({ state }) => state !== 'stitched');
        return mine.length - waiting.length === listeners.length * CONNECTIONS;
      };
      await rig.stage.until(
        stitched,
        STITCH_MS,
        () => `not stitched: ${JSON.stringify(waiting)}; the shell said: ${shell.output}`,
      );
      go.say();
      await Promise.all(running);
      stopping.abort();
      t.comment(`offloads were switched ${await switching} times`);
    });
  }

  const counts = await wires.stop();
  t.comment(JSON.stringify(counts));
  t.ok(counts.lost > 0 && counts.overtaken > 0 && counts.twice > 0, 'the wires were bad');
});
