// Generates src/midcom/gen from proto/ with buf and ts-proto, both from node_modules; needs no network.
// `--output DIR` writes DIR/src/midcom/gen instead, which is how the test compares.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = process.argv.indexOf('--output');
if (at >= 0 && process.argv[at + 1] === undefined) {
  console.error('proto: --output needs a folder');
  process.exit(2);
}
const output = at < 0 ? root : resolve(process.argv[at + 1]);

rmSync(join(output, 'src/midcom/gen'), { recursive: true, force: true });
const buf = join(root, 'node_modules/.bin/buf');
const steps = [
  ['lint', 'proto'],
  ['generate', 'proto', '--template', 'proto/buf.gen.yaml', '--output', output],
];
for (const args of steps) {
  const { status, error } = spawnSync(buf, args, { cwd: root, stdio: 'inherit' });
  if (error) console.error(`proto: ${buf} did not start (${error.message}); run npm ci first`);
  if (status !== 0) process.exit(status ?? 1);
}
