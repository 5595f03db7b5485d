/** When flows of the kernel path are ticked, whatever order the process learns in what happened to them. */
import t from 'tap';
import { FlowStore, type Known } from '../../src/dataplane/kernel/flow-store.js';
import { Upkeep, type UpkeepParts } from '../../src/dataplane/kernel/upkeep.js';
import type { FlowEvent, FlowSnapshot } from '../../src/dataplane/port.js';
import { DEFAULT_ENGINE_OPTIONS } from '../../src/flow/options.js';
import type { FlowState } from '../../src/flow/state.js';
import { silentLog } from '../../src/platform/log.js';
import { FakeClock } from '../midcom/support/fake-clock.js';

const TEARDOWN_MS = DEFAULT_ENGINE_OPTIONS.teardownLimit;

class KernelClock extends FakeClock {
  kernel(): number {
    return this.monotonic();
  }
}

function eventOf(state: FlowState, more: Partial<FlowEvent> = {}): FlowEvent {
  return { kind: 'state', flow: { id: 'f', state, history: [] } as unknown as FlowSnapshot, ...more };
}

/** A flow that holds a FIN, `due` what the kernel says each time that it is ticked. */
function upkeep(due: number) {
  const clock = new KernelClock();
  const store = new FlowStore();
  const known: Known = { id: 'f', slot: 0, generation: 1, isIpv6: false };
  store.add(known);
  const waiting: FlowEvent[] = [];
  const ticked: number[] = [];
  const told: FlowState[] = [];
  const stopped = new AbortController();
  const began = clock.kernel();
  const lost = { eventsLost: 0 };
  const parts = {
    store,
    clock,
    reader: { counters: () => lost, read: () => ({ holds: true, snapshot: () => eventOf('closing').flow }) },
    requests: {
      tick: () => {
        ticked.push(clock.kernel() - began);
        return { due };
      },
    },
    quiet: { look: () => {} },
    steering: { isOn: false },
    engine: DEFAULT_ENGINE_OPTIONS,
    epochOffset: 0,
    log: silentLog(),
    stopped: stopped.signal,
    consume: () => {
      for (const event of waiting.splice(0)) tell(event);
    },
    tell: ({ flow }: FlowEvent) => void told.push(flow.state),
    begin: () => {},
  };
  const one = new Upkeep(parts as unknown as UpkeepParts);
  const tell = (event: FlowEvent): void => {
    told.push(event.flow.state);
    one.told(known, event);
  };
  return { one, clock, known, lost, waiting, ticked, told, tell, stop: () => stopped.abort() };
}

t.test('events that wait are older than what flows are compared by', async (t) => {
  const { one, clock, lost, waiting, ticked, told, stop } = upkeep(TEARDOWN_MS);
  one.start();
  waiting.push(eventOf('stitched'));
  lost.eventsLost = 2;
  await clock.advance(1000 + 100);
  t.strictSame(told, ['stitched', 'closing']);
  t.equal(ticked.length, 1);
  await clock.advance(TEARDOWN_MS);
  t.equal(ticked.length, 2, 'what is held is let go when its time is over');
  stop();
});

t.test('a FIN that comes in does not put off another one that is repeated', async (t) => {
  const { one, clock, known, ticked, tell, stop } = upkeep(300);
  one.tickAsDue(known, { due: 300 } as never);
  tell(eventOf('closing', { kind: 'fin', held: true }));
  await clock.advance(400);
  t.equal(ticked.length, 1);
  stop();
});
