/**
 * Programs that the demo and the tests run inside the lab's hosts: started, waited for, stopped.
 *
 * Each is started through `setpriv --pdeathsig KILL`, so that none outlives the process that started it,
 * whichever way that one ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Clock } from '../platform/clock.js';
import { SutureError } from '../platform/errors.js';
import { inNamespace } from './command.js';

export interface ProgramOptions {
  /** For messages. */
  readonly name: string;
  readonly namespace: string;
  readonly argv: readonly string[];
  readonly clock: Clock;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Every line of its output, as it comes. */
  readonly onLine?: (line: string, stream: 'stdout' | 'stderr') => void;
}

export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Lines that are kept for the message of a failure. */
const KEPT_LINES = 200;

export class Program {
  readonly name: string;
  /** Resolves when the program has ended and all of its output was read. */
  readonly ended: Promise<ProgramEnd>;
  readonly #child: ChildProcess;
  readonly #clock: Clock;
  readonly #lines: string[] = [];
  readonly #watchers = new Set<(line: string) => void>();
  #end: ProgramEnd | undefined;

  constructor(options: ProgramOptions) {
    this.name = options.name;
    this.#clock = options.clock;
    const argv = ['--pdeathsig', 'KILL', '--', ...inNamespace(options.namespace, options.argv)];
    this.#child = spawn('setpriv', argv, {
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own: a terminal's Ctrl-C reaches only whoever started it, who then stops it in order.
      detached: true,
      env: { ...process.env, ...options.env },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    for (const stream of ['stdout', 'stderr'] as const) {
      this.#eachLine(this.#child[stream], (line) => {
        this.#keep(line);
        options.onLine?.(line, stream);
      });
    }
    this.ended = new Promise((resolve) => {
      const finish = (end: ProgramEnd): void => {
        this.#end ??= end;
        resolve(this.#end);
      };
      this.#child.on('error', (error) => {
        this.#keep(`cannot start: ${error.message}`);
        finish({ code: 127, signal: null });
      });
      this.#child.on('close', (code, signal) => finish({ code, signal }));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#end === undefined;
  }

  /** The last lines of its output. */
  get output(): string {
    return this.#lines.join('\n');
  }

  /** Resolves with the first line, past or future, that matches; rejects when the program ends without one. */
  async line(pattern: RegExp, timeoutMs: number): Promise<string> {
    const past = this.#lines.find((line) => pattern.test(line));
    if (past !== undefined) return past;
    const waiting = new AbortController();
    let watcher: (line: string) => void = () => undefined;
    const outcome = await Promise.race([
      new Promise<{ line: string }>((resolve) => {
        watcher = (line) => {
          if (pattern.test(line)) resolve({ line });
        };
        this.#watchers.add(watcher);
      }),
      this.ended.then(({ code, signal }) => ({ problem: `ended with ${code ?? signal} before` })),
      this.#clock.sleep(timeoutMs, waiting.signal).then(
        () => ({ problem: `wrote nothing within ${timeoutMs} ms like` }),
        () => ({ problem: 'was not waited for until' }),
      ),
    ]);
    waiting.abort();
    this.#watchers.delete(watcher);
    if ('line' in outcome) return outcome.line;
    throw new SutureError(
      'SUT_LAB',
      `${this.name} ${outcome.problem} ${pattern}; its last lines:\n${this.output}`,
    );
  }

  kill(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal);
  }

  /** SIGTERM, and SIGKILL when it has not ended within the grace period. */
  async stop(graceMs = 5000): Promise<ProgramEnd> {
    this.kill('SIGTERM');
    const waiting = new AbortController();
    const impatient = this.#clock.sleep(graceMs, waiting.signal).then(
      () => this.kill('SIGKILL'),
      () => undefined,
    );
    const end = await this.ended;
    waiting.abort();
    await impatient;
    return end;
  }

  #keep(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
    for (const watcher of this.#watchers) watcher(line);
  }

  #eachLine(stream: NodeJS.ReadableStream | null, take: (line: string) => void): void {
    let rest = '';
    stream?.setEncoding('utf8');
    stream?.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) take(line);
    });
    stream?.on('end', () => {
      if (rest !== '') take(rest);
    });
  }
}
