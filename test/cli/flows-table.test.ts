/** `suture flows --table`: what a switch has written, with no switch there to ask. */
import t from 'tap';
import { flowDetail, flowView } from '../../src/switch/admin-protocol.js';
import { flowRecord } from '../contract/table.js';
import { freePort, RedisServer } from '../support/redis/server.js';
import { redisTable } from '../support/redis/table.js';
import { suture } from './context.js';

const RECORDS = [
  flowRecord('f-1', { openedAt: 10 }),
  flowRecord('f-2', { openedAt: 20, state: 'stitched', agent: 'a2', stitchedAt: 2_500 }),
  flowRecord('f-3', { openedAt: 30, state: 'closed', reason: 'fin', closedAt: 5_000 }),
];

t.test('list and show', async (t) => {
  const server = await RedisServer.start(t);
  for (const group of ['default', 'other']) {
    const table = redisTable(server.target, { group });
    await table.start();
    for (const record of group === 'default' ? RECORDS : RECORDS.slice(0, 1)) await table.put(record);
    await table.stop();
  }
  const views = RECORDS.map(flowView);
  const table = ['--table', server.url];
  t.strictSame((await suture(['flows', ...table, '--json'])).json, views);
  t.strictSame((await suture(['flows', 'list', ...table, '--json'])).json, views);
  t.strictSame((await suture(['flows', ...table, '--agent', 'a2', '--json'])).json, [views[1]]);
  t.strictSame((await suture(['flows', ...table, '--state', 'closed', '--json'])).json, [views[2]]);
  t.strictSame((await suture(['flows', ...table, '--group', 'other', '--json'])).json, [views[0]]);
  t.equal((await suture(['flows', ...table, '--group', 'none'])).out, 'no flows\n');
  t.match((await suture(['flows', ...table])).out, /^f-2 +stitched +a2/m);
  const [, second] = RECORDS;
  t.strictSame(
    (await suture(['flows', 'show', 'f-2', ...table, '--json'])).json,
    second && flowDetail(second),
  );
  const none = await suture(['flows', 'show', 'f-9', ...table, '--json']);
  t.match(none.json, { error: { code: 'SUT_FLOW_UNKNOWN' } });
  t.equal(none.code, 1);
});

t.test('what can go wrong', async (t) => {
  const port = await freePort();
  const gone = await suture(['flows', '--table', `redis://u:secret@127.0.0.1:${port}`, '--json']);
  t.match(gone.json, {
    error: { code: 'SUT_TABLE_UNAVAILABLE', message: `redis://127.0.0.1:${port}/0: connect ECONNREFUSED` },
  });
  t.match(gone.json, { error: { message: /; check that a Redis runs there, and the network$/ } });
  t.notMatch(gone.out, 'secret');
  const server = await RedisServer.start(t, { config: { databases: '2' } });
  const db = await suture(['flows', '--table', `redis://127.0.0.1:${server.port}/2`, '--json']);
  t.match(db.json, { error: { code: 'SUT_TABLE_UNAVAILABLE', message: /DB index is out of range/ } });
  const word = await suture(['flows', '--table', `redis://:wrong@127.0.0.1:${server.port}`, '--json']);
  t.match(word.json, [], 'a server without a password takes any');
  await server.cli('config', 'set', 'requirepass', 'right');
  const wrong = await suture(['flows', '--table', `redis://:wrong@127.0.0.1:${server.port}`, '--json']);
  t.match(wrong.json, {
    error: { code: 'SUT_TABLE_UNAVAILABLE', message: /WRONGPASS.*; check user, password and ACL$/ },
  });
  const right = await suture(['flows', '--table', `redis://:right@127.0.0.1:${server.port}`, '--json']);
  t.strictSame(right.json, []);
  for (const [argv, message] of [
    [['--table', 'redis://u:se/cret@h'], /--table: found "redis:\/\/…@h", expected HOST:PORT/],
    [['--table', 'memory'], /--table: found "memory", expected redis:/],
    [['--table', 'redis://h', '--admin', 'unix:/x'], /found --admin and --table/],
    [['--table', 'redis://h', '--group', '{x}'], /--group: found "\{x\}", expected a name/],
    [['--group', 'x'], /--group and --ca go with --table/],
  ] as const) {
    const { code, json } = await suture(['flows', ...argv, '--json']);
    t.equal(code, 2);
    t.match(json, { error: { code: 'SUT_USAGE', message } });
  }
});

t.test('a table of a newer version is refused', async (t) => {
  const server = await RedisServer.start(t);
  await server.cli('hset', 'suture:{default}:flow:1', 'v', '2');
  await server.cli('zadd', 'suture:{default}:flows', 'inf', '1');
  const newer = { error: { code: 'SUT_TABLE_LAYOUT', message: /found layout 2, expected 1/ } };
  t.match((await suture(['flows', '--table', server.url, '--json'])).json, newer);
  await server.cli('del', 'suture:{default}:flow:1');
  t.strictSame((await suture(['flows', '--table', server.url, '--json'])).json, [], 'an id without a record');
  await server.cli('hset', 'suture:{default}:lease', 'layout', '2');
  t.match((await suture(['flows', '--table', server.url, '--json'])).json, newer);
});
