/** The facts that `doctor` looks at, behind an interface, so that tests can give it any host. */
import { type KernelFacts, thisKernel } from '../../dataplane/kernel/probe.js';
import { type CommandResult, type RunCommandOptions, run } from '../../platform/process.js';

export interface DoctorHost extends KernelFacts {
  readonly nodeVersion: string;
  run(command: string, args: readonly string[], options?: RunCommandOptions): Promise<CommandResult>;
  /** Loads a module with a native addon; rejects with the reason when it can not be loaded. */
  load(module: 'cap' | 'raw-socket'): Promise<unknown>;
}

export const thisHost: DoctorHost = {
  ...thisKernel,
  nodeVersion: process.versions.node,
  run,
  load: (module) => import(module),
};
