/**
 * Ping-pongs with the cut at a random moment, on clean legs and with 1 % of all packets lost on every leg. They go on until
 * all are stitched: on a fast path the rounds that are counted may be over before the shell looks at its policy again.
 */
import { randomInt } from 'node:crypto';
import t, { type Test } from 'tap';
import { addressOf, endpointOf, HTTP_PORT, RAW_PORT, route } from '../../src/lab/stage.js';
import { checkClosed, checkTransfer, spread } from '../support/lab/checks.js';
import type { PingPongResult, TransferResult } from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';

const ROUNDS = 10_000;
const MIN = 1;
const MAX = 3000;
const FIRST_PORT = 9000;
const LOSSY_PORTS = 8800;
const LOSS_PERCENT = 1;

/**
 * A route for each connection, with a random moment for its cut in a stream of `bytes` both ways together: in
 * its first half, since a handover that has to send something again takes many rounds.
 */
function randomCuts(connections: number, bytes: number, family: 4 | 6 = 4, firstPort = FIRST_PORT) {
  const ports = Array.from({ length: connections }, (_, i) => firstPort + i);
  const cuts = ports.map(() => randomInt(1, bytes >> 1));
  const routes = ports.map((port, i) => route(port, RAW_PORT, { after: { bytes: cuts[i] ?? 1 } }, family));
  return { ports, cuts, routes };
}

async function rally(
  t: Test,
  rig: Rig,
  family: 4 | 6,
  { ports, cuts }: { ports: number[]; cuts: number[] },
  rounds: number,
): Promise<void> {
  t.comment(`cut after ${cuts.join(', ')} bytes`);
  const seed = randomInt(1, 2 ** 31);
  const connections = ports.length;
  const go = rig.go();
  const args = { host: addressOf('a', family), ports, connections, rounds, min: MIN, max: MAX, seed };
  const rallying = rig.startClient('pingpong', { ...args, until: go.path });
  const listeners = new Set(ports.map((port) => endpointOf('a', port, family)));
  await rig.stage.until(
    async () => {
      const flows = await rig.stage.admin.flows({ state: 'stitched' });
      return flows.filter(({ outer }) => listeners.has(outer.local)).length === connections;
    },
    60_000,
    () => `${connections} connections should have been stitched`,
  );
  go.say();
  const results = await rallying.report<PingPongResult[]>(0, 120_000);
  t.equal(results.length, connections);
  for (const result of results) {
    t.equal(result.error, undefined, `seed ${seed}`);
    t.ok(result.rounds >= rounds, `${result.rounds} rounds`);
    await checkClosed(t, rig, result);
  }
  t.comment(`longest round trip of each connection, ms: ${spread(results.map(({ worstMs }) => worstMs))}`);
}

t.test('ping-pong, the cut at a random moment', async (t) => {
  const rig = await Rig.up(t);
  const perRound = MIN + MAX;
  const one = randomCuts(1, ROUNDS * perRound);
  const ten = randomCuts(10, (ROUNDS / 10) * perRound, 4, FIRST_PORT + 100);
  const six = randomCuts(4, (ROUNDS / 10) * perRound, 6);
  await rig.startPath({ routes: [one, ten, six].flatMap(({ routes }) => routes) });
  await t.test(`IPv4: ${ROUNDS} on one connection`, (t) => rally(t, rig, 4, one, ROUNDS));
  await t.test(`IPv4: ${ROUNDS} on ten connections`, (t) => rally(t, rig, 4, ten, ROUNDS / 10));
  await t.test(`IPv6: ${ROUNDS / 10} on each of four connections`, (t) => rally(t, rig, 6, six, ROUNDS / 10));
});

/** Where packets are lost, a round trip now and then waits for a timer: the rounds go over many connections. */
t.test('the same with loss on every leg', async (t) => {
  const rig = await Rig.up(t, { bridged: true });
  const connections = 40;
  const rounds = ROUNDS / connections;
  const pingpong = randomCuts(connections, rounds * (MIN + MAX));
  const six = randomCuts(connections / 4, rounds * (MIN + MAX), 6);
  const bytes = 40_000_000;
  const cut = () => ({ after: { bytes: randomInt(1, bytes / 4) } });
  const modes = ['down', 'up', 'both'] as const;
  const transfers = modes.map((_, i) => route(LOSSY_PORTS + i, HTTP_PORT, cut()));
  await rig.startPath({ routes: [...pingpong.routes, ...six.routes, ...transfers] });
  await rig.lose(LOSS_PERCENT);

  await t.test(`IPv4: ${ROUNDS} on ${connections} connections`, (t) => rally(t, rig, 4, pingpong, rounds));
  await t.test(`IPv6: ${ROUNDS / 4} on ${connections / 4} connections`, (t) => rally(t, rig, 6, six, rounds));
  for (const [i, mode] of modes.entries()) {
    await t.test(`a transfer of ${bytes / 1e6} MB, ${mode}`, async (t) => {
      const args = { host: addressOf('a', 4), port: LOSSY_PORTS + i, mode, bytes, seed: 11 };
      const [result] = await rig.client<TransferResult>('transfer', args);
      checkTransfer(t, result, bytes);
      await checkClosed(t, rig, result as TransferResult);
      t.comment(`${((result?.ms ?? 0) / 1000).toFixed(1)} s`);
    });
  }
  const lost = await rig.lost();
  t.ok(lost > 100, `${lost} packets were lost`);
});
