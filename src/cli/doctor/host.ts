/** The facts that `doctor` looks at, behind an interface, so that tests can give it any host. */
import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { type CommandResult, type RunCommandOptions, run } from '../../platform/process.js';

export interface DoctorHost {
  readonly nodeVersion: string;
  readonly kernelRelease: string;
  /** The text of a file, undefined when it can not be read. */
  read(path: string): Promise<string | undefined>;
  run(command: string, args: readonly string[], options?: RunCommandOptions): Promise<CommandResult>;
  /** Loads a module with a native addon; rejects with the reason when it can not be loaded. */
  load(module: 'cap' | 'raw-socket'): Promise<unknown>;
}

export const thisHost: DoctorHost = {
  nodeVersion: process.versions.node,
  kernelRelease: release(),
  read: (path) => readFile(path, 'latin1').catch(() => undefined),
  run,
  load: (module) => import(module),
};
