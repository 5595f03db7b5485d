/** A program outside the lab, with its standard output and error apart. */
import { spawn } from 'node:child_process';

export interface Running {
  readonly pid: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly ended: Promise<{ code: number | null }>;
  /** Resolves when either stream holds a match; rejects when the program ends without one. */
  line(pattern: RegExp): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

export function startProgram(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Running {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], { env, stdio: 'pipe' });
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text;
    });
  }
  const ended = new Promise<{ code: number | null }>((resolve) => {
    child.once('close', (code) => resolve({ code }));
  });
  return {
    pid: child.pid,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    ended,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (pattern.test(output.stdout) || pattern.test(output.stderr)) resolve();
        };
        child.stdout.on('data', look);
        child.stderr.on('data', look);
        ended.then(() => reject(new Error(`it ended without ${pattern}: ${output.stdout}${output.stderr}`)));
        look();
      }),
    kill: (signal) => {
      child.kill(signal);
    },
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
