/**
 * Keeps a whole benchmark on two processors, where the machine has more: this process and with it all that it
 * starts from now on, and the interfaces' receive steering. What the kernel does for a packet runs on
 * the processor that sent it or on the one that it was steered to.
 */
import { cpus } from 'node:os';
import { LAB_HOSTS } from '#suture/lab/layout.js';
import { run } from '#suture/platform/process.js';
import type { Lab } from './labs.js';

const CORES = 2;
const LIST = '0,1';
const MASK = '3';
const STEER = `for f in /sys/class/net/*/queues/rx-*/rps_cpus; do case $f in */lo/*) ;; *) echo ${MASK} > $f;; esac; done`;

/** False where there is nothing to limit. To be called before anything is started in the lab. */
export async function limitToTwoCores(lab: Lab): Promise<boolean> {
  if (cpus().length <= CORES) return false;
  await run('taskset', ['-a', '-c', '-p', LIST, String(process.pid)]);
  for (const host of LAB_HOSTS) {
    // `ip netns exec` is what shows a namespace its own sysfs.
    await run('ip', ['netns', 'exec', lab.namespace(host), 'sh', '-c', STEER]);
  }
  return true;
}
