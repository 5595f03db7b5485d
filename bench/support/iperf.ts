/**
 * iperf3: a server in B, and one transfer from E with the processors' use while it runs at full speed. Both programs, and
 * the work for received packets, have their processors. Left to the kernel, a hash of random numbers would decide anew
 * for each connection whether one processor does nearly everything, which makes a factor of three.
 */
import { cpus } from 'node:os';
import { SutureError } from '#suture/platform/errors.js';
import { type CpuUse, cpuBetween } from './cpu.js';
import type { Lab } from './labs.js';
import { RECEIVER, SENDER, steerToReceiver } from './processors.js';

export const IPERF_PORT = 5201;
/** Left out of the measurement: slow start, and the time until a connection is stitched. */
const WARM_SECONDS = 1;
/** The processors' use is measured a little within the transfer, which has ended when its client has. */
const MARGIN_SECONDS = 0.1;
const START_MS = 10_000;
/** Beyond its own time, for a program that hangs. */
const SPARE_MS = 30_000;

export interface Transfer {
  /** What the receiver got. */
  readonly mbit: number;
  readonly retransmissions: number;
  readonly cpu: CpuUse;
}

interface IperfReport {
  readonly error?: string;
  readonly end?: {
    readonly sum_received?: { readonly bits_per_second: number };
    readonly sum_sent?: { readonly retransmits?: number };
  };
}

export async function startIperfServer(lab: Lab): Promise<void> {
  await steerToReceiver(lab);
  const argv = ['iperf3', '-s', '-p', String(IPERF_PORT), '--forceflush'];
  await lab.start('iperf3 server', 'b', argv).line(/^Server listening/, START_MS);
}

export async function transfer(
  lab: Lab,
  { address, port }: { readonly address: string; readonly port: number },
  { streams, seconds: asked }: { readonly streams: number; readonly seconds: number },
): Promise<Transfer> {
  const { clock, meter } = lab;
  // iperf3 reads whole seconds, and takes 0 for no end at all.
  const seconds = Math.max(1, Math.round(asked));
  const limitMs = 1000 * (WARM_SECONDS + seconds) + SPARE_MS;
  const argv = ['iperf3', '-c', address, '-p', String(port), '-P', String(streams)];
  argv.push('-t', String(seconds), '-O', String(WARM_SECONDS), '-J');
  if (cpus().length > RECEIVER) argv.push('-A', `${SENDER},${RECEIVER}`);
  const running = lab.output('iperf3 client', 'e', argv, limitMs);
  const measuring = async (): Promise<CpuUse> => {
    await clock.sleep(1000 * (WARM_SECONDS + MARGIN_SECONDS));
    const before = meter.sample();
    await clock.sleep(1000 * (seconds - 2 * MARGIN_SECONDS));
    return cpuBetween(before, meter.sample());
  };
  const [lines, cpu] = await Promise.all([running, measuring()]);
  const { error, end } = JSON.parse(lines.join('\n')) as IperfReport;
  const received = end?.sum_received?.bits_per_second;
  if (error !== undefined || received === undefined) {
    throw new SutureError('SUT_BENCH', `iperf3 to ${address}:${port}: ${error ?? 'no result'}`);
  }
  return { mbit: received / 1e6, retransmissions: end?.sum_sent?.retransmits ?? 0, cpu };
}
