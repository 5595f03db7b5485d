/** Compiles the C programs in native/ into a folder of the test's. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../../src/platform/process.js';

const SOURCES = fileURLToPath(new URL('native', import.meta.url));
const FLAGS = ['-O2', '-Wall', '-Wextra', '-Werror'];

/** The path of the program. */
export async function compileNative(name: 'exchange' | 'wire', folder: string): Promise<string> {
  const program = join(folder, name);
  await run('gcc', [...FLAGS, '-o', program, join(SOURCES, `${name}.c`)], { timeoutMs: 60_000 });
  return program;
}
