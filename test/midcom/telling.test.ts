/** Who hears of a FIN or RST, when, and from whom: each teardown mode, agents that answer, don't, or aren't there. */
import t from 'tap';
import type { FlowEvent } from '../../src/dataplane/port.js';
import { TEARDOWN_MODES, type TeardownMode } from '../../src/flow/state.js';
import { Agent, type FlowRecord, type LoggedEvent } from '../../src/midcom/agents.js';
import type { AgentEvent } from '../../src/midcom/port.js';
import { DEFAULT_LIMITS } from '../../src/midcom/service.js';
import { Telling } from '../../src/midcom/telling.js';
import { snapshot } from './support/fake-backend.js';

const ENDS = { local: { address: '10.0.0.1', port: 1 }, remote: { address: '10.0.0.2', port: 2 } };
const LIMIT = 5_000;

interface Scene {
  readonly telling: Telling;
  readonly shell: Agent;
  readonly core: Agent;
  /** `agent: kind from …`, in the order in which agents heard. */
  readonly heard: string[];
  readonly letGo: string[];
  readonly record: FlowRecord;
  tell(kind: 'fin' | 'rst' | 'closing' | 'closed', from?: 'peer' | 'core', held?: boolean): void;
  wait(ms: number): void;
}

function scene(teardown: TeardownMode, { answers = true, sessions = true } = {}): Scene {
  const heard: string[] = [];
  const letGo: string[] = [];
  let now = 0;
  const agent = (name: 'shell' | 'core'): Agent => {
    const made = new Agent({ name, role: name, addresses: [] }, DEFAULT_LIMITS, 0);
    made.answers = answers;
    const event = ({ event: told }: LoggedEvent): void => void heard.push(`${name}: ${textOf(told)}`);
    if (sessions) made.session = { peer: '', since: 0, event, move: () => {}, terminate: () => {} };
    return made;
  };
  const [shell, core] = [agent('shell'), agent('core')];
  const record: FlowRecord = {
    ...{ id: 'f', shell, core, outer: ENDS, inner: ENDS, pieces: [], expiresAt: 0 },
    ...{ rule: 'enabled', teardown, held: undefined },
  };
  const telling = new Telling({
    limitMs: LIMIT,
    now: () => now,
    letGo: (id, from) => letGo.push(`${id} ${from}`),
  });
  return {
    ...{ telling, shell, core, record, heard, letGo },
    tell: (kind, from, held) => {
      const flow = snapshot('f', kind === 'closed' ? 'closed' : 'closing');
      const isState = kind === 'closing' || kind === 'closed';
      const event: FlowEvent = {
        kind: isState ? 'state' : kind,
        flow,
        ...(from && { from }),
        ...(held && { held }),
      };
      telling.tell(record, event);
    },
    wait: (ms) => {
      now += ms;
      telling.sweep();
    },
  };
}

function textOf({ kind, flow, from, held, answerExpected, toldBy }: AgentEvent): string {
  if (kind === 'state') return flow.state;
  const more = [held && 'held', answerExpected && 'answer?', toldBy && `by ${toldBy}`].filter(Boolean);
  return [kind, from, ...more].join(' ');
}

t.test('core: the core tells the shell', async (t) => {
  const { telling, shell, core, heard, tell } = scene('core');
  tell('fin', 'peer');
  tell('closing');
  t.strictSame(heard, ['core: fin peer answer?', 'core: closing']);
  t.equal(telling.answered(shell, 'f', 'peer'), undefined, 'the shell was not asked');
  t.equal(telling.answered(core, 'f', 'core'), undefined, 'not about this end');
  t.equal(telling.answered(core, 'f', 'peer')?.id, 'f');
  t.strictSame(heard.slice(2), ['shell: fin peer by core', 'shell: closing']);
  t.equal(telling.answered(core, 'f', 'peer'), undefined, 'a second answer');
});

t.test('core: in order to the end, though answers come when the flow is over', async (t) => {
  const { telling, core, heard, tell } = scene('core');
  for (const from of ['peer', 'core'] as const) tell('fin', from);
  tell('closed');
  heard.length = 0;
  t.ok(telling.recordOf(core, 'f'));
  telling.answered(core, 'f', 'core');
  t.strictSame(heard, [], 'what came before it is not answered');
  telling.answered(core, 'f', 'peer');
  t.strictSame(heard, ['shell: fin peer by core', 'shell: fin core by core', 'shell: closed']);
  t.equal(telling.recordOf(core, 'f'), undefined);
});

t.test('a mode that changes while something waits changes nothing for that', async (t) => {
  const { telling, core, heard, record, tell } = scene('core');
  tell('fin', 'peer');
  record.teardown = 'shell';
  tell('closing');
  telling.answered(core, 'f', 'peer');
  t.strictSame(heard, [
    'core: fin peer answer?',
    'core: closing',
    'shell: fin peer by core',
    'shell: closing',
  ]);
  tell('fin', 'core');
  t.strictSame(heard.slice(4), ['shell: fin core answer?']);
});

t.test('shell: the shell tells the core', async (t) => {
  const { telling, shell, heard, letGo, tell } = scene('shell');
  tell('rst', 'core', true);
  t.strictSame(heard, ['shell: rst core held answer?']);
  telling.answered(shell, 'f', 'core');
  tell('closed');
  t.strictSame(heard.slice(1), ['core: rst core held by shell', 'shell: closed', 'core: closed']);
  t.strictSame(letGo, [], 'that is for who asked');
});

t.test('control: both at once, each may answer', async (t) => {
  const { heard, letGo, tell } = scene('control');
  tell('fin', 'core', true);
  tell('closing');
  t.strictSame(heard, [
    'shell: fin core held answer?',
    'core: fin core held answer?',
    'shell: closing',
    'core: closing',
  ]);
  t.strictSame(letGo, []);
});

t.test('both: both at once, nobody is asked', async (t) => {
  const { heard, tell } = scene('both');
  tell('fin', 'peer');
  t.strictSame(heard, ['shell: fin peer', 'core: fin peer']);
});

t.test('an agent that does not answer: the switch tells when its time is over', async (t) => {
  const { heard, tell, wait } = scene('core');
  tell('fin', 'peer');
  tell('closed');
  wait(LIMIT - 1);
  t.equal(heard.length, 2);
  wait(1);
  t.strictSame(heard.slice(2), ['shell: fin peer', 'shell: closed']);
});

for (const [name, options] of Object.entries({
  'agents that never said that they answer': { answers: false },
  'agents without a session': { sessions: false },
})) {
  for (const teardown of TEARDOWN_MODES) {
    t.test(`${teardown}, ${name}`, async (t) => {
      const holds = teardown === 'control' || teardown === 'shell';
      const { shell, core, heard, letGo, tell } = scene(teardown, options);
      tell('fin', 'peer', holds);
      tell('closed');
      t.strictSame(letGo, holds ? ['f peer'] : []);
      t.equal([...heard].filter((text) => text.includes('answer?')).length, 0);
      for (const agent of [shell, core]) {
        const told = agent.events.after(0)?.map(({ event }) => event.kind);
        t.strictSame(told, ['fin', 'state'], `${agent.name} hears, now or when it comes back`);
      }
    });
  }
}
