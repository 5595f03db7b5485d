import t from 'tap';
import { SutureError } from '../../../src/platform/errors.js';
import { faultOf, TableFault } from '../../../src/table/redis/faults.js';

function replyError(message: string): Error {
  return Object.assign(new Error(message), { name: 'ReplyError' });
}

t.test('what went wrong, and whether another connection would help', async (t) => {
  const cases: [error: unknown, kind: string, state: string, needsConnection: boolean][] = [
    [
      Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' }),
      'unreachable',
      'down',
      true,
    ],
    [Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT' }), 'unreachable', 'down', true],
    [new Error('Connection is closed.'), 'unreachable', 'down', true],
    [new Error('Command timed out'), 'no-answer', 'down', true],
    ['text', 'unreachable', 'down', true],
    [
      replyError("OOM command not allowed when used memory > 'maxmemory'."),
      'out-of-memory',
      'degraded',
      false,
    ],
    [
      replyError('ERR Error running script (call to f_1): OOM command not allowed'),
      'out-of-memory',
      'degraded',
      false,
    ],
    [replyError('WRONGPASS invalid username-password pair'), 'not-allowed', 'degraded', false],
    [replyError('NOAUTH Authentication required.'), 'not-allowed', 'degraded', true],
    [
      replyError("NOPERM this user has no permissions to run the 'evalsha' command"),
      'not-allowed',
      'degraded',
      false,
    ],
    [replyError("READONLY You can't write against a read only replica."), 'not-writable', 'degraded', true],
    [replyError('LOADING Redis is loading the dataset in memory'), 'not-writable', 'degraded', true],
    [replyError('MISCONF Redis is configured to save RDB snapshots'), 'not-writable', 'degraded', false],
    [replyError('NOREPLICAS Not enough good replicas to write.'), 'not-writable', 'degraded', false],
    [replyError('CLUSTERDOWN Hash slot not served'), 'not-writable', 'degraded', true],
    [
      new Error('Too many Cluster redirections. Last error: ReplyError: TRYAGAIN Multiple keys'),
      'not-writable',
      'degraded',
      false,
    ],
    [
      replyError('WRONGTYPE Operation against a key holding the wrong kind of value'),
      'error',
      'degraded',
      false,
    ],
    [new TypeError('x is not a function'), 'error', 'degraded', false],
    [new SutureError('SUT_TABLE_LAYOUT', 'found layout 2'), 'layout', 'degraded', false],
  ];
  for (const [error, kind, state, needsConnection] of cases) {
    const fault = faultOf(error);
    t.strictSame(
      [fault.kind, fault.state, fault.needsConnection],
      [kind, state, needsConnection],
      fault.message,
    );
    t.equal(faultOf(fault), fault);
  }
});

t.test('as an error, with where it was', async (t) => {
  const told = (kind: TableFault['kind']): SutureError =>
    new TableFault(kind, 'what').asError('redis://h:1/0');
  t.match(told('lease'), { code: 'SUT_TABLE_LEASE', message: 'the flow table at redis://h:1/0: what' });
  t.match(told('layout'), { code: 'SUT_TABLE_LAYOUT' });
  for (const kind of ['unreachable', 'no-answer', 'out-of-memory', 'not-allowed', 'error'] as const) {
    t.match(told(kind), { code: 'SUT_TABLE_UNAVAILABLE' });
  }
});
