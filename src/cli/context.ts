/** What the commands are given, so that tests can run them inside their own process. */
import type { SystemClock } from '../platform/clock.js';
import { systemClock } from '../platform/clock.js';
import type { SignalSource } from '../platform/lifecycle.js';
import { ADMIN_DIRECTORY } from '../switch/admin-client.js';
import { type DoctorHost, thisHost } from './doctor/host.js';
import { type Programs, programs } from './programs.js';

export interface TextSink {
  write(text: string): unknown;
}

export interface CliContext {
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  readonly env: NodeJS.ProcessEnv;
  readonly clock: SystemClock;
  readonly signals: SignalSource;
  /** Where the admin sockets of running switches are looked for. */
  readonly adminDirectory: string;
  readonly programs: Programs;
  readonly host: DoctorHost;
}

export function processContext(): CliContext {
  const { stdout, stderr, env } = process;
  return {
    stdout,
    stderr,
    env,
    clock: systemClock,
    signals: process,
    adminDirectory: ADMIN_DIRECTORY,
    programs,
    host: thisHost,
  };
}

/**
 * Wraps a command for commander: the number that it gives, if any, becomes the exit code. Commander calls with
 * the arguments, the options and the command itself.
 */
export type Action = <Args extends unknown[]>(
  body: (...args: Args) => Promise<unknown>,
) => (...args: Args) => Promise<void>;
