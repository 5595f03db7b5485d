/** Runs another program to its end and gives back what it printed. Never through a shell. */
import { spawn } from 'node:child_process';
import { type Clock, systemClock } from './clock.js';
import { SutureError } from './errors.js';

export interface RunCommandOptions {
  /** Text for its standard input, which is closed afterwards. */
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly clock?: Clock;
  /** Exit codes that are no failure; 0 by default. */
  readonly okCodes?: readonly number[];
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const DEFAULT_TIMEOUT_MS = 10_000;
/** More than this on one stream is cut: the tools that are run here print a page at most. */
const MAX_OUTPUT = 16 * 1024 * 1024;

/** Rejects with SUT_TOOL_MISSING when there is no such program, with SUT_TOOL_FAILED when it fails. */
export function run(
  command: string,
  args: readonly string[],
  options: RunCommandOptions = {},
): Promise<CommandResult> {
  const {
    input,
    timeoutMs = DEFAULT_TIMEOUT_MS,
    signal,
    env,
    cwd,
    okCodes = [0],
    clock = systemClock,
  } = options;
  const shown = [command, ...args].join(' ');
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], {
      stdio: 'pipe',
      killSignal: 'SIGKILL',
      ...(signal && { signal }),
      ...(env && { env }),
      ...(cwd !== undefined && { cwd }),
    });
    // Not spawn's own `timeout`: that one keeps its timer when there was nothing to start.
    const timer = new AbortController();
    let late = false;
    const giveUp = (): void => {
      late = true;
      child.kill('SIGKILL');
    };
    clock.sleep(timeoutMs, timer.signal).then(giveUp, () => {});
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    child.on('error', (error: NodeJS.ErrnoException) => {
      timer.abort();
      reject(startError(error, command, shown));
    });
    child.on('close', (code, killedBy) => {
      timer.abort();
      const result = { code: code ?? -1, stdout: stdout(), stderr: stderr() };
      if (code !== null && okCodes.includes(code)) return resolve(result);
      const ended = late ? `took longer than ${timeoutMs} ms` : `was ended by ${killedBy}`;
      const how = code === null ? ended : `gave exit code ${code}`;
      const said = result.stderr.trim() || result.stdout.trim() || 'it printed nothing';
      reject(new SutureError('SUT_TOOL_FAILED', `\`${shown}\` ${how}: ${said}`));
    });
    // A program that ends without reading its input closes the pipe: its exit code tells the story.
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
  });
}

function startError(error: NodeJS.ErrnoException, command: string, shown: string): SutureError {
  if (error.code === 'ENOENT') {
    const message = `\`${command}\` was not found; it is needed for \`${shown}\`: install it or put it on PATH`;
    return new SutureError('SUT_TOOL_MISSING', message, { cause: error });
  }
  return new SutureError('SUT_TOOL_FAILED', `\`${shown}\` did not run: ${error.message}`, { cause: error });
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on('data', (chunk: Buffer) => {
    if (length < MAX_OUTPUT) chunks.push(chunk);
    length += chunk.length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}
