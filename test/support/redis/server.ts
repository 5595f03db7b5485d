/**
 * Real Redis servers for tests: each on loopback with a port and a folder of its own, and gone with the test, even if
 * its process is killed.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import type { RedisTarget } from '../../../src/platform/config/index.js';
import { type Running, startProgram } from '../lab/started.js';

const run = promisify(execFile);
const HOST = '127.0.0.1';

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || address === null) throw new Error('no port was given');
  return address.port;
}

export interface ServerOptions {
  readonly port?: number;
  /** `--name value` pairs, without the dashes. */
  readonly config?: Readonly<Record<string, string>>;
  /** A file to start from instead, for a sentinel. */
  readonly sentinel?: string;
}

export class RedisServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'suture-redis-'));
  private program: Running | undefined;

  private constructor(
    readonly port: number,
    private readonly options: ServerOptions,
  ) {}

  static async start(t: Test, options: ServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(options.port ?? (await freePort()), options);
    t.teardown(() => server.end());
    await server.start();
    return server;
  }

  get target(): RedisTarget {
    return { kind: 'server', nodes: [{ address: HOST, port: this.port }], db: 0, tls: false };
  }

  get url(): string {
    return `redis://${HOST}:${this.port}/0`;
  }

  /** With an empty memory, unless a file in its folder says otherwise. */
  async start(): Promise<void> {
    const { config = {}, sentinel } = this.options;
    const plain = { port: String(this.port), bind: HOST, save: '', appendonly: 'no', dir: this.folder };
    const settings = Object.entries({ ...plain, ...config }).flatMap(([name, value]) => [`--${name}`, value]);
    const args = sentinel === undefined ? settings : [sentinel, '--sentinel'];
    this.program = startProgram('redis-server', args, { PATH: process.env.PATH });
    await this.program.line(/Ready to accept connections|Sentinel ID is/);
  }

  /** Sends it a signal; SIGSTOP makes it silent without closing anything. */
  signal(signal: NodeJS.Signals): void {
    this.program?.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.program?.ended;
  }

  get log(): string {
    return this.program?.stdout ?? '';
  }

  async cli(...args: string[]): Promise<string> {
    const { stdout } = await run('redis-cli', ['-h', HOST, '-p', String(this.port), ...args]);
    return stdout.trim();
  }

  private async end(): Promise<void> {
    // One that is stopped hears nothing but this.
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Asks again and again until the answer is true; the limit is for what hangs. */
export async function until(
  ask: () => boolean | Promise<boolean>,
  complaint: () => string,
  limitMs = 30_000,
): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await ask())) {
    if (Date.now() > end) throw new Error(`${complaint()}, after ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
