/**
 * Which processors a benchmark runs on. What the kernel does for a packet runs on the processor that sent it or on the
 * one that it was steered to.
 */
import { cpus } from 'node:os';
import { LAB_HOSTS } from '#suture/lab/layout.js';
import { cpuMask, steerReceive } from '#suture/lab/topology.js';
import { run } from '#suture/platform/process.js';
import type { Lab } from './labs.js';

const CORES = 2;
const LIST = '0,1';

/** Of a bulk transfer. */
export const SENDER = 0;
export const RECEIVER = 1;

/**
 * Keeps a whole benchmark on two processors, where the machine has more: this process and with it all that it
 * starts from now on, and the interfaces' receive steering. False where there is nothing to limit. To be called before
 * anything is started in the lab.
 */
export async function limitToTwoCores(lab: Lab): Promise<boolean> {
  if (cpus().length <= CORES) return false;
  await run('taskset', ['-a', '-c', '-p', LIST, String(process.pid)]);
  await steer(lab, cpuMask(CORES));
  return true;
}

/** All that hosts do for received packets is done beside the receiving program, as receive flow steering would have it. */
export async function steerToReceiver(lab: Lab): Promise<void> {
  if (cpus().length > RECEIVER) await steer(lab, (1 << RECEIVER).toString(16));
}

async function steer(lab: Lab, mask: string): Promise<void> {
  for (const host of LAB_HOSTS) await steerReceive(lab.namespace(host), mask);
}
