/** Which data path a switch takes: `auto` is the kernel's where this host allows it. The log says which and why. */
import { KernelDataPlane } from '../dataplane/kernel/kernel.js';
import { probeKernelPath } from '../dataplane/kernel/probe.js';
import type { DataPlane, OnFrame } from '../dataplane/port.js';
import { UserspaceDataPlane } from '../dataplane/userspace/userspace.js';
import type { SystemClock } from '../platform/clock.js';
import type { SwitchConfig } from '../platform/config/index.js';
import { asSutureError, SutureError } from '../platform/errors.js';
import type { Logger } from '../platform/log.js';

export interface DataPlaneParts {
  readonly config: SwitchConfig;
  readonly log: Logger;
  readonly clock: SystemClock;
  /** Called by the userspace path between packets. */
  readonly poll: () => void;
  readonly onFailure: (cause: unknown) => void;
  /** Given the frames of discovery datagrams by a kernel path; the userspace path leaves them to captures. */
  readonly onDiscovery: OnFrame;
}

/** The data path that the config asks for, started. */
export async function startDataPlane(parts: DataPlaneParts): Promise<DataPlane> {
  const { config, log } = parts;
  if (config.dataplane !== 'userspace') {
    try {
      return await startKernel(parts);
    } catch (error) {
      const { code, message } = asSutureError(error);
      // A wrong config stays wrong on the other path.
      if (config.dataplane === 'kernel' || config.scaleOut || !code.startsWith('SUT_DATAPLANE')) throw error;
      log.warn({ why: message }, 'data path: userspace, because the kernel path is not available');
    }
  }
  const plane = new UserspaceDataPlane({
    name: config.name,
    interfaces: config.interfaces,
    agents: [...new Set(config.agents.flatMap(({ addresses }) => addresses))],
    engine: engineOptions(config),
    clock: parts.clock,
    log,
    poll: parts.poll,
    survives: config.table !== 'memory',
    onFailure: parts.onFailure,
  });
  await plane.start();
  return plane;
}

async function startKernel({ config, clock, log, onDiscovery }: DataPlaneParts): Promise<DataPlane> {
  const { items } = await probeKernelPath();
  // Where there is no BPF filesystem yet, the start tries to mount one.
  const missing = items.filter(({ ok, name }) => !ok && name !== 'bpffs');
  if (missing.length > 0) {
    const list = missing.map(({ name, found, mend }) => `${name}: ${found} (${mend ?? 'no mend known'})`);
    throw new SutureError('SUT_DATAPLANE_UNAVAILABLE', `the kernel path lacks ${list.join('; ')}`);
  }
  const plane = new KernelDataPlane({
    name: config.name,
    interfaces: config.interfaces,
    bpffs: config.bpffs,
    maxFlows: config.limits.flows,
    engine: engineOptions(config),
    discovery: { port: config.discovery.port, onFrame: onDiscovery },
    shells: config.agents.flatMap(({ role, addresses }) => (role === 'shell' ? addresses : [])),
    clock,
    log,
  });
  await plane.start();
  return plane;
}

function engineOptions(config: SwitchConfig) {
  const { clampCap, limits, scaleOut, timers } = config;
  return { ...timers, clampCap, maxUnpaired: limits.halfOpen, shared: scaleOut };
}
