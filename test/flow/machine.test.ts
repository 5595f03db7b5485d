import t from 'tap';
import { FLOW_EVENTS, nextState, TRANSITIONS } from '../../src/flow/machine.js';
import { FLOW_STATES, type FlowState } from '../../src/flow/state.js';

t.test('the way from the first state to the last', async (t) => {
  const walk = (...events: (typeof FLOW_EVENTS)[number][]): string => {
    let state: FlowState = 'watched';
    for (const event of events) {
      const next = nextState(state, event);
      if (next === undefined) throw new Error(`${event} means nothing in ${state}`);
      state = next;
    }
    return state;
  };
  t.equal(walk('establish', 'enable', 'cut', 'drained', 'fin', 'finished'), 'closed');
  t.equal(walk('establish', 'enable', 'empty', 'reset'), 'closed');
  t.equal(walk('establish', 'enable', 'cut', 'break'), 'broken');
  t.equal(walk('establish', 'refuse', 'fin', 'finished'), 'closed');
});

t.test('ends are final, and every other state can end', async (t) => {
  for (const state of FLOW_STATES) {
    const reachable = FLOW_EVENTS.map((event) => nextState(state, event)).filter(
      (next) => next !== undefined,
    );
    const final = state === 'closed' || state === 'broken';
    t.equal(reachable.length === 0, final, state);
    if (!final) t.ok(reachable.includes('closed'), `${state} can close`);
  }
});

t.test(
  'only a flow whose bytes are split between two ways, or whose FIN is on its way, can break',
  async (t) => {
    const breakable = FLOW_STATES.filter((state) => TRANSITIONS[state].break !== undefined);
    t.same(breakable, ['cutting', 'closing']);
  },
);
