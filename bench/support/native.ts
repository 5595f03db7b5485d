/** Compiles the programs in bench/native into a folder of the run's. */
import { join } from 'node:path';
import { PACKAGE_ROOT } from '#suture/lab/stage.js';
import { run } from '#suture/platform/process.js';

export type NativeProgram = 'bulk' | 'churn' | 'echo-client' | 'echo-server';

const COMPILE_MS = 60_000;

/** The path of the program. */
export async function compileNative(name: NativeProgram, folder: string): Promise<string> {
  const source = join(PACKAGE_ROOT, 'bench/native', `${name}.c`);
  const program = join(folder, name);
  await run('gcc', ['-O3', '-Wall', '-Wextra', '-o', program, source], { timeoutMs: COMPILE_MS });
  return program;
}
