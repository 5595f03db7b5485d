/** compose/ under a project name of its own, with whatever engine the environment names. Only `docker compose` is called. */
import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const FOLDER = fileURLToPath(new URL('../../../compose', import.meta.url));
const MAX_OUTPUT = 64 << 20;

/** Why compose/ can't be run here; undefined when it can. */
export async function whyNoEngine(): Promise<string | undefined> {
  try {
    await run('docker', ['compose', 'version']);
    await run('docker', ['version', '--format', '{{.Server.Version}}']);
    return undefined;
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    if (code === 'ENOENT') return 'there is no docker command';
    return `no container engine with compose: ${stderr?.trim().split('\n').at(-1) ?? error}`;
  }
}

/** A command that runs in a service's container, and its lines as they come. */
export interface Running {
  readonly lines: readonly string[];
  /** Resolves with the first line that `accept`s; rejects when the command ends without one. */
  line(accept: (line: string) => boolean): Promise<string>;
  readonly ended: Promise<number | null>;
}

export class ComposeProject {
  readonly #args: readonly string[];

  constructor(name: string, files: readonly string[] = ['compose.yaml']) {
    const given = files.flatMap((file) => ['-f', join(FOLDER, file)]);
    this.#args = ['compose', '-p', name, '--progress', 'quiet', ...given];
  }

  /** Standard output; what the engine complained of is in the error's message. */
  async compose(...args: string[]): Promise<string> {
    const { stdout } = await run('docker', [...this.#args, ...args], { maxBuffer: MAX_OUTPUT });
    return stdout;
  }

  exec(service: string, ...argv: string[]): Promise<string> {
    return this.compose('exec', '-T', service, ...argv);
  }

  async json<T>(service: string, ...argv: string[]): Promise<T> {
    return JSON.parse(await this.exec(service, ...argv, '--json')) as T;
  }

  start(service: string, ...argv: string[]): Running {
    const child = spawn('docker', [...this.#args, 'exec', '-T', service, ...argv], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: string[] = [];
    const watchers = new Set<() => void>();
    let isOver = false;
    const look = (): void => {
      for (const watcher of watchers) watcher();
    };
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      createInterface(child.stdout).on('line', (line) => {
        lines.push(line);
        look();
      });
      child.once('close', (code) => {
        isOver = true;
        look();
        resolve(code);
      });
    });
    const line = (accept: (line: string) => boolean): Promise<string> =>
      new Promise((resolve, reject) => {
        const watcher = (): void => {
          const found = lines.find(accept);
          if (found === undefined && !isOver) return;
          watchers.delete(watcher);
          if (found !== undefined) resolve(found);
          else reject(new Error(`${argv.join(' ')} ended: ${lines.at(-1) ?? 'it printed nothing'}`));
        };
        watchers.add(watcher);
        watcher();
      });
    return { lines, line, ended };
  }
}
