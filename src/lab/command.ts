/** The lab's use of the system's tools: `ip` and `nft`, mostly inside one of its network namespaces. */
import { asSutureError, SutureError } from '../platform/errors.js';
import { run } from '../platform/process.js';

/** Runs a tool to its end and gives back its standard output; any failure is SUT_LAB. */
export async function runTool(what: string, argv: readonly string[], input = ''): Promise<string> {
  const [program = '', ...args] = argv;
  try {
    return (await run(program, args, { input })).stdout;
  } catch (error) {
    throw new SutureError('SUT_LAB', `${what}: ${asSutureError(error).message}`, { cause: error });
  }
}

/** The same where a failure means no more than that there is nothing to see: undefined. */
export async function tryTool(argv: readonly string[], input = ''): Promise<string | undefined> {
  return runTool('', argv, input).catch(() => undefined);
}

/**
 * The arguments that run a program inside a network namespace. `ip netns exec` would remount /sys and so hide
 * bpffs; `nsenter --net` changes nothing but the network.
 */
export function inNamespace(namespace: string, argv: readonly string[]): string[] {
  return ['nsenter', `--net=/run/netns/${namespace}`, '--', ...argv];
}
