/**
 * Who used the processors: /proc/stat for the whole machine, /proc/PID/task/TID/schedstat for each program of the lab.
 *
 * Network namespaces share the processors, and what the kernel does for a packet is charged to whichever
 * program runs at the moment, the sender most of the time. So a host's share is that of its programs; what
 * forwarding costs shows in the sum over all, which is why every table has the sum. Kernel threads and
 * softirqs outside of every program are told apart, and so is the rest of the machine, which is not the lab's.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import type { LabHost } from '#suture/lab/layout.js';
import type { Clock } from '#suture/platform/clock.js';

/** Clock ticks per second in /proc; the same on every architecture that Node runs on. */
const USER_HZ = 100;
/** PF_KTHREAD of include/linux/sched.h. */
const KERNEL_THREAD = 0x0020_0000;

interface ProcessTime {
  readonly host: LabHost | 'kernel' | 'outside';
  readonly name: string;
  /** Thread by thread, in CPU seconds. */
  readonly threads: ReadonlyMap<string, number>;
}

export interface CpuSample {
  /** Seconds, monotonic. */
  readonly at: number;
  readonly all: number;
  readonly softirq: number;
  readonly processes: ReadonlyMap<number, ProcessTime>;
}

/** All values are in cores: CPU seconds a second. */
export interface CpuUse {
  /** The whole machine without what runs outside of the lab. */
  readonly all: number;
  /** By the tick that found it there; part of `all`, and of whichever program it interrupted. */
  readonly softirq: number;
  /** Sums of the hosts' programs. */
  readonly hosts: Readonly<Record<LabHost, number>>;
  /** By `host/name`; the switch in two parts, its main thread and the others. */
  readonly programs: Readonly<Record<string, number>>;
  /** `all` without the hosts' programs. */
  readonly kernel: number;
  readonly outside: number;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It has ended meanwhile.
    return undefined;
  }
}

/** The fields of /proc/PID/stat from the third on; the second is a name in parentheses and may hold anything. */
function statFields(text: string): string[] {
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function machineTimes(): { all: number; softirq: number } {
  const [line = ''] = (read('/proc/stat') ?? '').split('\n');
  // user nice system idle iowait irq softirq steal (proc_stat(5)); guest times are part of user and nice.
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.split(/\s+/).slice(1).map(Number);
  return { all: (user + nice + system + irq + softirq) / USER_HZ, softirq: softirq / USER_HZ };
}

/** Nanoseconds that a thread has run, its first number. */
function threadTimes(pid: number): Map<string, number> {
  const found = new Map<string, number>();
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return found;
  }
  for (const thread of threads) {
    const text = read(`/proc/${pid}/task/${thread}/schedstat`);
    if (text !== undefined) found.set(thread, Number(text.split(' ')[0]) / 1e9);
  }
  return found;
}

function namespaceOf(pid: number): number {
  try {
    return Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[0]);
  } catch {
    return Number.NaN;
  }
}

export class CpuMeter {
  readonly #clock: Clock;
  /** Hosts by the inode of their network namespace. */
  readonly #hosts = new Map<number, LabHost>();
  readonly #names = new Map<number, string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  addHost(host: LabHost, namespace: string): void {
    this.#hosts.set(statSync(`/run/netns/${namespace}`).ino, host);
  }

  /** Programs that are not named go by what they call themselves. */
  addProgram(pid: number | undefined, name: string): void {
    if (pid !== undefined) this.#names.set(pid, name);
  }

  sample(): CpuSample {
    const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
    const processes = new Map<number, ProcessTime>();
    for (const pid of pids.map(Number)) {
      const time = this.#processTime(pid);
      if (time) processes.set(pid, time);
    }
    return { at: this.#clock.monotonic() / 1000, ...machineTimes(), processes };
  }

  #processTime(pid: number): ProcessTime | undefined {
    const host = this.#hosts.get(namespaceOf(pid));
    const text = read(`/proc/${pid}/stat`);
    if (text === undefined) return undefined;
    const fields = statFields(text);
    const name = this.#names.get(pid) ?? text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'));
    const ticks = Number(fields[11]) + Number(fields[12]);
    const whole = new Map([['', ticks / USER_HZ]]);
    if (host === undefined) {
      const isKernel = (Number(fields[6]) & KERNEL_THREAD) !== 0;
      return { host: isKernel ? 'kernel' : 'outside', name, threads: whole };
    }
    const threads = threadTimes(pid);
    return { host, name, threads: threads.size > 0 ? threads : whole };
  }
}

/** A process that is in one sample only counts from zero, and to the last that was seen of it. */
export function cpuBetween(before: CpuSample, after: CpuSample): CpuUse {
  const seconds = after.at - before.at;
  const hosts = { e: 0, s: 0, a: 0, b: 0 };
  const programs: Record<string, number> = {};
  let outside = 0;
  const add = (key: string, cores: number): void => {
    programs[key] = (programs[key] ?? 0) + cores;
  };
  for (const [pid, { host, name, threads }] of after.processes) {
    const earlier = before.processes.get(pid)?.threads;
    let cores = 0;
    const parts: [key: string, cores: number][] = [];
    for (const [thread, total] of threads) {
      const used = (total - (earlier?.get(thread) ?? 0)) / seconds;
      cores += used;
      const part = thread === String(pid) ? 'main thread' : 'other threads';
      parts.push([name === 'switch' ? `${host}/switch, ${part}` : `${host}/${name}`, used]);
    }
    if (host === 'outside') outside += cores;
    if (host === 'outside' || host === 'kernel') continue;
    hosts[host] += cores;
    for (const [key, part] of parts) add(key, part);
  }
  const all = Math.max((after.all - before.all) / seconds - outside, 0);
  const inPrograms = hosts.e + hosts.s + hosts.a + hosts.b;
  const softirq = (after.softirq - before.softirq) / seconds;
  return { all, softirq, hosts, programs, kernel: Math.max(all - inPrograms, 0), outside };
}
