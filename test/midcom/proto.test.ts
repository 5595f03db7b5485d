/** What is generated from proto/ is what is in the repository. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const GENERATED = 'src/midcom/gen';

t.test('generating again changes nothing', async (t) => {
  const scratch = t.testdir();
  mkdirSync(scratch, { recursive: true });
  const run = spawnSync(process.execPath, ['scripts/proto.mjs', '--output', scratch], { encoding: 'utf8' });
  t.equal(run.status, 0, run.stderr);
  const files = (root: string): string[] =>
    (readdirSync(join(root, GENERATED), { recursive: true }) as string[]).filter((name) =>
      name.endsWith('.ts'),
    );
  const names = files(scratch).sort();
  t.ok(names.length >= 3);
  t.strictSame(files('.').sort(), names);
  for (const name of names) {
    const [ours, fresh] = ['.', scratch].map((root) => readFileSync(join(root, GENERATED, name), 'utf8'));
    t.ok(ours === fresh, `${name}: run "npm run proto" and commit what it writes`);
  }
});
