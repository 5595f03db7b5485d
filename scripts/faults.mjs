/** `npm run faults|soak -- [options]`: the set-up, then that program of the fault harness (test/support/faults). */
import { join } from 'node:path';
import { passOn } from './pass-on.mjs';
import { root, setup } from './setup.mjs';

/** What tap uses for its own tests, so that the harness runs from its sources. */
const LOADER = join(root, 'node_modules/@tapjs/typescript/dist/esm/import.mjs');

const [name, ...args] = process.argv.slice(2);
if (setup()) {
  const program = join(root, `test/support/faults/${name === 'soak' ? 'soak' : 'cli'}.ts`);
  process.exitCode = await passOn(process.execPath, [`--import=file://${LOADER}`, program, ...args]);
} else {
  process.exitCode = 1;
}
