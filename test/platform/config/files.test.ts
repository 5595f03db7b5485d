import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../../src/platform/config/index.js';
import { CORE, complains, complaint } from './configs.js';

t.test('files that are no mapping', async (t) => {
  for (const [text, expected] of [
    ['', 'f.yaml: found an empty file, expected a mapping'],
    ['just text', 'f.yaml:1: the whole file: found "just text", expected a mapping with name'],
    ['- a\n', 'f.yaml:1: the whole file: found a list, expected a mapping'],
    ['a: 1\n---\nb: 2\n', 'found 2 YAML documents, expected one'],
  ] as const) {
    t.match(complaint('core', text), expected);
  }
});

t.test('files that are no YAML', async (t) => {
  complains(t, 'core', '"[fd00:201:3::2]:8080"', [['[fd00:201:3::2]:8080', 'not valid YAML']]);
  complains(t, 'core', 'name: b1', [['name: b1\nname: b2', 'f.yaml:2: not valid YAML']]);
});

t.test('files are read from disk', async (t) => {
  const directory = t.testdir({ 'core.yaml': CORE });
  const file = join(directory, 'core.yaml');
  t.equal(loadConfig('core', file).name, 'b1');
  t.throws(() => loadConfig('core', join(directory, 'none.yaml')), {
    code: 'SUT_CONFIG_UNREADABLE',
    message: /none\.yaml could not be read \(ENOENT/,
  });
});
