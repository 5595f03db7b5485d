/** `npm run demo [-- args]`: the set-up, then the command line program with the same arguments. */
import { join } from 'node:path';
import { passOn } from './pass-on.mjs';
import { root, setup } from './setup.mjs';

if (setup()) {
  process.exitCode = await passOn(process.execPath, [
    join(root, 'dist/cli/main.js'),
    ...process.argv.slice(2),
  ]);
} else {
  process.exitCode = 1;
}
