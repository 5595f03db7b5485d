/** The end of a switch that no other one follows: what it waits for, and what it asks the data path meanwhile. */
import t from 'tap';
import { silentLog } from '../../src/platform/log.js';
import { drain, giveUpClamped } from '../../src/switch/drain.js';
import { FakeClock, turn } from '../midcom/support/fake-clock.js';
import { FakePlane, snapshot } from './fake-plane.js';

const LIMIT_MS = 60_000;

class CountingPlane extends FakePlane {
  lists = 0;
  readonly closed: string[] = [];

  override async list() {
    this.lists += 1;
    const flows = await super.list();
    await this.whileListed();
    return flows;
  }

  whileListed: () => Promise<void> = async () => {};

  override async close(id: string) {
    this.closed.push(id);
    return super.close(id);
  }
}

function draining(plane: CountingPlane, signal?: AbortSignal) {
  const clock = new FakeClock();
  let isOver = false;
  const over = drain({ plane, clock, log: silentLog(), drainLimit: LIMIT_MS }, signal).then(() => {
    isOver = true;
  });
  return { clock, over, isOver: () => isOver };
}

function planeWith(...ids: string[]): CountingPlane {
  const plane = new CountingPlane();
  for (const id of ids) plane.flows.set(id, snapshot(id, 'stitched'));
  return plane;
}

t.test('it waits for the last flow that was cut, and lists them once', async (t) => {
  const plane = planeWith('a', 'b');
  plane.flows.set('relayed', snapshot('relayed'));
  plane.flows.set('over', snapshot('over', 'closed', 'fin'));
  const { clock, isOver, over } = draining(plane);
  await clock.advance(10_000);
  plane.change('a', 'closing');
  plane.change('a', 'closed', 'fin');
  await clock.advance(10_000);
  t.notOk(isOver());
  plane.change('b', 'broken', 'drain-timeout');
  await over;
  t.equal(plane.lists, 1);
  t.strictSame(plane.closed, []);
  t.equal(clock.sleeping, 0);
});

t.test('what is cut meanwhile is waited for too', async (t) => {
  const plane = planeWith('a');
  plane.flows.set('late', snapshot('late', 'relayed'));
  const { isOver, over } = draining(plane);
  await turn();
  plane.change('late', 'stitched');
  plane.change('a', 'closed', 'fin');
  await turn();
  t.notOk(isOver());
  plane.change('late', 'closed', 'fin');
  await over;
  t.strictSame(plane.closed, []);
});

t.test('what happens while the flows are listed is newer than the list', async (t) => {
  const plane = planeWith('a');
  plane.whileListed = async () => plane.change('a', 'closed', 'fin');
  await draining(plane).over;
  t.strictSame(plane.closed, []);
});

t.test('what is left at the limit, or at the signal, is closed', async (t) => {
  const late = planeWith('a', 'b');
  const waiting = draining(late);
  late.flows.set('relayed', snapshot('relayed'));
  await turn();
  late.change('a', 'closed', 'fin');
  await waiting.clock.advance(LIMIT_MS);
  await waiting.over;
  t.strictSame(late.closed, ['b']);

  const hurried = planeWith('a');
  const hurry = new AbortController();
  const { over } = draining(hurried, hurry.signal);
  await turn();
  t.strictSame(hurried.closed, []);
  hurry.abort();
  await over;
  t.strictSame(hurried.closed, ['a']);

  const prompt = planeWith('a');
  await draining(prompt, AbortSignal.abort()).over;
  t.strictSame(prompt.closed, ['a'], 'at once');
});

t.test('what is clamped is given up before it is cut, and goes on relayed', async (t) => {
  const plane = planeWith('a');
  plane.flows.set('slow', snapshot('slow', 'clamping'));
  const { over } = draining(plane);
  await turn();
  t.strictSame(plane.closed, ['slow'], 'at once');
  plane.flows.set('late', snapshot('late'));
  plane.change('late', 'clamping');
  plane.change('a', 'closed', 'fin');
  await over;
  t.strictSame(plane.closed, ['slow', 'late']);
});

t.test('before another switch goes on, what is clamped is given up alone', async (t) => {
  const plane = planeWith('a');
  for (const state of ['relayed', 'clamping', 'cutting'] as const)
    plane.flows.set(state, snapshot(state, state));
  await giveUpClamped(plane);
  t.strictSame(plane.closed, ['clamping']);
});

t.test('without any it is over at once', async (t) => {
  const plane = planeWith();
  await draining(plane).over;
  t.equal(plane.lists, 1);
});
