import t from 'tap';
import { createLog, silentLog } from '../../src/platform/log.js';

function lines(env: NodeJS.ProcessEnv): unknown[] {
  const written: unknown[] = [];
  const stream = { write: (line: string) => void written.push(JSON.parse(line)) };
  const log = createLog({ level: 'info', fields: { role: 'core', name: 'b1' }, env, stream });
  log.debug('detail');
  log.info({ flow: 'f-1' }, 'stitched');
  return written;
}

t.test('lines are JSON with level, time and fields', async (t) => {
  const [line, ...more] = lines({});
  t.match(line, {
    level: 'info',
    time: /^\d{4}-.*Z$/,
    role: 'core',
    name: 'b1',
    flow: 'f-1',
    msg: 'stitched',
  });
  t.same(more, []);
});

t.test('SUTURE_LOG wins, when it names a level', async (t) => {
  t.equal(lines({ SUTURE_LOG: 'debug' }).length, 2);
  t.equal(lines({ SUTURE_LOG: 'error' }).length, 0);
  t.equal(lines({ SUTURE_LOG: 'louder' }).length, 1);
});

t.test('the silent log has no level on', async (t) => {
  t.equal(silentLog().isLevelEnabled('fatal'), false);
});
