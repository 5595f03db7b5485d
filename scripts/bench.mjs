/** `npm run bench -- NAME [options]`: the set-up with what the benchmarks need, then `suture bench`. */
import { join } from 'node:path';
import { passOn } from './pass-on.mjs';
import { root, setup } from './setup.mjs';

if (setup({ bench: true })) {
  const argv = [join(root, 'dist/cli/main.js'), 'bench', ...process.argv.slice(2)];
  process.exitCode = await passOn(process.execPath, argv);
} else {
  process.exitCode = 1;
}
