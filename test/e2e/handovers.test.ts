/**
 * 200 handovers, each at a random moment of a transfer that keeps both directions busy, with the same transfers
 * uncut before and after them: what the network and the machine do by themselves is told apart that way.
 */
import { randomInt } from 'node:crypto';
import t from 'tap';
import { segmentsSentAgain } from '../../src/lab/sent-again.js';
import { addressOf, HTTP_PORT, route } from '../../src/lab/stage.js';
import { checkClosed, checkTransfer, spread } from '../support/lab/checks.js';
import type { TransferResult } from '../support/lab/results.js';
import { Rig, TEST_DATAPLANE } from '../support/lab/rig.js';

const HANDOVERS = 200;
const UNCUT = 10;
const BYTES = TEST_DATAPLANE === 'kernel' ? 48_000_000 : 20_000_000;
/** Of both directions together, early enough that the transfer outlasts the handover. */
const LATEST_CUT = 10_000_000;
const FIRST_PORT = 9000;
const UNCUT_PORT = 8999;
/** Between two transfers, so that what is sent again counts for the right one. */
const GAP_MS = 60;

interface Measured {
  readonly result: TransferResult;
  readonly retransmissions: number;
}

async function transfers(rig: Rig, ports: readonly number[]): Promise<Measured[]> {
  const measured: Promise<Measured>[] = [];
  const sentAgain = (): Promise<number> => segmentsSentAgain(rig.prefix, ['e', 'a', 'b']);
  let before = sentAgain();
  const args = { host: addressOf('a', 4), ports, mode: 'both', bytes: BYTES, seed: randomInt(1, 1e6) };
  const onResult = (result: unknown): void => {
    const [start, end] = [before, sentAgain()];
    before = end;
    const entry = Promise.all([start, end]).then(([from, to]) => ({
      result: result as TransferResult,
      retransmissions: to - from,
    }));
    measured.push(entry);
  };
  await rig.client('transfer', { ...args, repeat: ports.length, gapMs: GAP_MS }, { onResult });
  return Promise.all(measured);
}

function summary(what: string, measured: readonly Measured[]): string {
  const retransmissions = measured.map((one) => one.retransmissions);
  const nearPauses = measured.map(({ result }) => result.pauseMs);
  const farPauses = measured.map(({ result }) => result.farPauseMs);
  return (
    `${what}: segments sent again ${spread(retransmissions, 0)}; ` +
    `longest pause, ms: at E ${spread(nearPauses)}; at B ${spread(farPauses)}`
  );
}

t.test(`${HANDOVERS} handovers at random moments, both directions busy`, async (t) => {
  const rig = await Rig.up(t);
  const ports = Array.from({ length: HANDOVERS }, (_, i) => FIRST_PORT + i);
  const cuts = ports.map(() => randomInt(1, LATEST_CUT));
  const routes = ports.map((port, i) => route(port, HTTP_PORT, { after: { bytes: cuts[i] ?? 1 } }));
  await rig.startPath({ routes: [...routes, route(UNCUT_PORT, HTTP_PORT, 'never')] });

  const uncutPorts = new Array<number>(UNCUT).fill(UNCUT_PORT);
  const uncut = await transfers(rig, uncutPorts);
  const cut = await transfers(rig, ports);
  uncut.push(...(await transfers(rig, uncutPorts)));

  t.equal(cut.length, HANDOVERS);
  let overtaken = 0;
  const clamps: number[] = [];
  const drains: number[] = [];
  for (const [i, { result }] of cut.entries()) {
    await t.test(`cut after ${cuts[i]} bytes`, async (t) => {
      checkTransfer(t, result, BYTES);
      if ((await rig.closed(result)).history.some(({ state }) => state === 'refused')) {
        // Its last byte came before the windows fitted; it was relayed to its end.
        overtaken += 1;
        return;
      }
      const { history } = await checkClosed(t, rig, result);
      const at = (state: string) => Date.parse(history.find((entry) => entry.state === state)?.at ?? '');
      // A flow whose pipelines were empty was stitched without a cut.
      if (!history.some(({ state }) => state === 'cutting')) return;
      clamps.push(at('cutting') - at('clamping'));
      drains.push(at('stitched') - at('cutting'));
    });
  }
  t.ok(overtaken <= HANDOVERS / 20, `${overtaken} transfers were over before the cut`);
  for (const { result } of uncut) checkTransfer(t, result, BYTES);
  t.comment(
    summary(`${cut.length} transfers with a handover, ${overtaken} of them over before the cut`, cut),
  );
  t.comment(summary(`${uncut.length} transfers without`, uncut));
  t.comment(
    `ms from the clamp to the cut: ${spread(clamps, 0)}; from there until stitched: ${spread(drains, 0)}`,
  );
});
