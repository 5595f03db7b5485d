/** A Redis in a host of the lab, with nothing on disk. */
import type { LabMember, WIRE } from '../../../src/lab/layout.js';
import type { Program } from '../../../src/lab/program.js';
import type { Rig } from './rig.js';

/** In a namespace of its own, so the usual port is free. */
export const LOCAL_TABLE = 'redis://127.0.0.1:6379/0';

export async function startRedis(
  rig: Rig,
  host: LabMember | typeof WIRE = 's',
  address = '127.0.0.1',
): Promise<Program> {
  const open = address === '127.0.0.1' ? [] : ['--protected-mode', 'no'];
  const argv = ['redis-server', '--bind', address, '--save', '', '--appendonly', 'no', '--dir', rig.folder];
  const redis = rig.stage.start('redis', host, [...argv, ...open]);
  await redis.line(/Ready to accept connections/, 15_000);
  return redis;
}
