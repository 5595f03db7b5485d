import t from 'tap';
import type { FlowState } from '../../src/flow/state.js';
import { forAgents, liveFlows, sortOut } from '../../src/switch/adopt.js';
import { lostFlow } from '../../src/table/lost.js';
import { flowRecord } from '../contract/table.js';

t.test('how a flow ended whose switch is gone', async (t) => {
  const step = (state: 'relayed' | 'clamping' | 'stitched' | 'closing') => ({ state, at: 1 });
  const cases = [
    [flowRecord('relayed'), 'released'],
    [flowRecord('watched', { state: 'watched' }), 'released'],
    [flowRecord('refused', { state: 'refused', reason: 'tcp-ao', enabledAt: 5 }), 'released'],
    [flowRecord('enabled', { enabledAt: 5 }), 'switch-lost'],
    [flowRecord('clamping', { state: 'clamping', enabledAt: 5 }), 'switch-lost'],
    [flowRecord('stitched', { state: 'stitched' }), 'switch-lost'],
    [flowRecord('closing', { state: 'closing', history: [step('relayed'), step('closing')] }), 'released'],
    [flowRecord('cut', { state: 'closing', history: [step('stitched'), step('closing')] }), 'switch-lost'],
  ] as const;
  for (const [record, reason] of cases) {
    const lost = lostFlow(record, 9_000);
    t.match(lost, { id: record.id, state: 'closed', reason, closedAt: 9_000 }, record.id);
    t.strictSame(lost.history.at(-1), { state: 'closed', at: 9_000 });
  }
  const ended = flowRecord('ended', { state: 'closed', reason: 'fin', closedAt: 3 });
  t.equal(lostFlow(ended, 9_000), ended);
});

t.test('a data path that begins with the switch has none of them', async (t) => {
  const ended = flowRecord('2', { state: 'closed', reason: 'fin', closedAt: 3 });
  const { kept, lost, unknown } = sortOut([flowRecord('1'), ended], new Map(), 9_000);
  t.strictSame(kept, []);
  t.strictSame(unknown, []);
  t.match(lost, [{ id: '1', state: 'closed', reason: 'released' }]);
  t.equal(lost.length, 1);
});

t.test('one that outlives it may have some, and some that the table never saw', async (t) => {
  const same = flowRecord('1', { enabledAt: 5 });
  const saved = flowRecord('3', { state: 'stitched' });
  const records = [same, flowRecord('2'), saved, flowRecord('4')];
  const states = {
    ids: ['1', '3', '4', 'x'],
    states: Uint8Array.of(1, 4, 4, 4),
    savable: Uint8Array.of(0, 1, 1, 1),
  };
  const { kept, changed, lost, unknown } = sortOut(records, liveFlows(states), 9_000);
  const ids = (flows: readonly { id: string }[]): string[] => flows.map(({ id }) => id);
  t.strictSame(kept, [same], 'in the state that the table knows');
  t.strictSame(ids(changed), ['3', '4'], 'in another one, or with more to save');
  t.strictSame(ids(lost), ['2']);
  t.strictSame(unknown, ['x']);
});

t.test('what may be enabled once more: what was not begun when its switch was lost', async (t) => {
  const enabledIn = (state: FlowState): boolean =>
    forAgents(flowRecord('1', { state, enabledAt: 5 })).isEnabled;
  const states = ['watched', 'relayed', 'clamping', 'cutting', 'stitched', 'closing', 'refused'] as const;
  t.strictSame(
    states.filter((state) => !enabledIn(state)),
    ['watched', 'relayed'],
  );
  const { id, agent: shell, outer, inner } = flowRecord('1');
  t.strictSame(forAgents(flowRecord('1')), { id, shell, outer, inner, teardown: 'core', isEnabled: false });
});
