/**
 * A Redis in a host of a lab, for benchmarks and tests. What it keeps on disk, if anything, lies in the stage's folder
 * and goes with it.
 */
import type { LabMember, WIRE } from './layout.js';
import type { Program } from './program.js';
import type { Stage } from './stage.js';

/** Every host is a network of its own, so the usual port is free. */
export const LOCAL_TABLE = 'redis://127.0.0.1:6379/0';
const LOCAL = '127.0.0.1';
/** For a machine that is busy with other things. */
const START_MS = 30_000;

export interface LabRedisOptions {
  readonly host?: LabMember | typeof WIRE;
  /** Where it listens; if not on loopback, for everyone who can reach it. */
  readonly address?: string;
  /** What was confirmed survives its death: every write is on disk first. */
  readonly durable?: boolean;
}

/** Resolves when it takes connections. */
export async function startRedis(
  stage: Stage,
  { host = 's', address = LOCAL, durable = false }: LabRedisOptions = {},
): Promise<Program> {
  const argv = ['redis-server', '--bind', address, '--save', ''];
  argv.push(...(durable ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']));
  if (address !== LOCAL) argv.push('--protected-mode', 'no');
  const redis = stage.start('redis', host, argv);
  await redis.line(/Ready to accept connections/, START_MS);
  return redis;
}
