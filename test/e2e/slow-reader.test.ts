/**
 * A peer that does not read while its connection is to be stitched, with megabytes for it in every buffer on the way. A
 * relay waits for such a peer as long as it takes, and so does a handover: nothing is cut that the peer has no room for.
 */
import t from 'tap';
import { addressOf, RAW_PORT, route } from '../../src/lab/stage.js';
import { systemClock } from '../../src/platform/clock.js';
import type { Ends } from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';

const PORT = 9000;
const CONNECTIONS = 3;
/** More than the peer has room for, and less than the shell takes for it. */
const STITCH_AFTER = 200_000;
/** What a cut would have to be drained in. */
const DRAIN_LIMIT_MS = 500;
const LONGER_MS = 3 * DRAIN_LIMIT_MS;
const END_MS = 60_000;

t.test('a peer that does not read for longer than a drain may take', async (t) => {
  const rig = await Rig.up(t);
  await rig.startPath({
    routes: [route(PORT, RAW_PORT, { after: { bytes: STITCH_AFTER } })],
    switchConfig: { timers: { drainLimit: `${DRAIN_LIMIT_MS}ms` } },
  });
  const [open, go] = [rig.go(), rig.go()];
  const connections = Array.from({ length: CONNECTIONS }, (_, i) => ({
    kind: 'stalled',
    port: PORT,
    seed: i + 1,
  }));
  const client = rig.startClient('load', {
    host: addressOf('a', 4),
    connections,
    open: open.path,
    go: go.path,
    limitMs: END_MS,
  });
  const ends = await client.report<Ends[]>(0);
  for (const one of ends) await rig.flowOf(one, ({ state }) => state === 'clamping' || state === 'cutting');
  await systemClock.sleep(LONGER_MS);
  for (const one of ends) {
    const { state } = await rig.flowOf(one, () => true);
    t.equal(state, 'clamping', 'it is relayed meanwhile');
  }
  go.say();
  const results = await client.report<(Ends & { outcome: string; bytes: number })[]>(1, 2 * END_MS);
  t.equal(results.length, CONNECTIONS);
  for (const result of results) {
    t.match(result, { outcome: 'ok', bytes: 0 }, 'every byte as it was sent');
    const { history, reason } = await rig.closed(result);
    t.ok(
      history.some(({ state }) => state === 'stitched'),
      'and stitched once the peer read on',
    );
    t.equal(reason, 'fin');
  }
});
