/**
 * Run while the images are built, in a copy of this repository: gathers in DIR what they hold. `suture` is the package
 * with the dependencies that it runs with, `workload` the Java classes.
 *
 *   node compose/image/collect.mjs DIR
 */
import { chmodSync, cpSync, existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root, setup } from '../../scripts/setup.mjs';

const BUILT = ['dist/cli/main.js', 'dist/bpf/stitch.bpf.o', 'workload/build/suture/workload/Main.class'];
/** What was built on another system, or for another Node, does not load here. */
const NATIVE = ['cap', 'raw-socket', 'koffi'];

function isReady() {
  const require = createRequire(join(root, 'package.json'));
  try {
    for (const name of NATIVE) require(name);
    return BUILT.every((file) => existsSync(join(root, file)));
  } catch {
    return false;
  }
}

/** Folders of packages that are no development dependencies; those below another package come with it. */
function packages() {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.entries(lock.packages)
    .filter(([path, entry]) => /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) && !entry.dev)
    .map(([path]) => path)
    .filter((path) => existsSync(join(root, path)));
}

/** What only people and compilers read. */
const UNUSED = /\.(d\.[cm]?ts|map|md)$|\/node_modules\/(@types|cap\/deps|koffi\/vendor)(\/|$)/;

const target = process.argv[2];
if (target === undefined) throw new Error('usage: collect.mjs DIR');
if (!isReady() && !setup()) process.exit(1);
for (const path of ['package.json', 'LICENSE', 'proto', 'dist', ...packages()]) {
  cpSync(join(root, path), join(target, 'suture', path), {
    recursive: true,
    filter: (file) => !UNUSED.test(file),
  });
}
chmodSync(join(target, 'suture/dist/cli/main.js'), 0o755);
cpSync(join(root, 'workload/build'), join(target, 'workload'), { recursive: true });
