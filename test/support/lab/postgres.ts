/**
 * A PostgreSQL server of a test's own: Debian's programs, a data folder that goes with the test's folder, an
 * unprivileged user, no cluster of the system's. Durability is off; nobody wants the data back.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { addressOf } from '../../../src/lab/stage.js';
import type { Rig } from './rig.js';

const VERSIONS = '/usr/lib/postgresql';
export const POSTGRES_PORT = 5432;
export const DATABASE = 'postgres';
/** Debian's `nobody` and `nogroup`: the server refuses to run as root. */
const UNPRIVILEGED = ['--reuid=65534', '--regid=65534', '--clear-groups'];
const START_MS = 60_000;
const SETTINGS = {
  port: String(POSTGRES_PORT),
  unix_socket_directories: '',
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  autovacuum: 'off',
  max_connections: '50',
  shared_buffers: '64MB',
};

/** The folder of the newest version's programs; undefined when there is none. */
export function postgresPrograms(): string | undefined {
  if (!existsSync(VERSIONS)) return undefined;
  return readdirSync(VERSIONS)
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(VERSIONS, version, 'bin'))
    .find((bin) => ['initdb', 'postgres', 'pgbench', 'psql'].every((name) => existsSync(join(bin, name))));
}

export class Postgres {
  private constructor(
    readonly rig: Rig,
    readonly bin: string,
    readonly host: 'e' | 'b',
  ) {}

  /** Ready when it resolves; it is stopped with the rest of the stage. */
  static async start(rig: Rig, bin: string, host: 'e' | 'b'): Promise<Postgres> {
    const data = join(rig.folder, 'postgres');
    // Its user has to get through a folder that is root's.
    chmodSync(rig.folder, 0o711);
    mkdirSync(data);
    await rig.tool(host, ['chown', '65534:65534', data]);
    const as = ['setpriv', ...UNPRIVILEGED, '--pdeathsig', 'KILL', '--'];
    await rig.tool(host, [
      ...as,
      join(bin, 'initdb'),
      ...['-D', data, '-U', 'test', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
    ]);
    await rig.tool(host, ['sh', '-c', `echo 'host all all all trust' >> ${data}/pg_hba.conf`]);
    const settings = { ...SETTINGS, listen_addresses: `${addressOf(host, 4)},${addressOf(host, 6)}` };
    const given = Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]);
    const server = rig.stage.start('postgres', host, [...as, join(bin, 'postgres'), '-D', data, ...given]);
    await server.line(/ready to accept connections/, START_MS);
    return new Postgres(rig, bin, host);
  }

  /** One of its programs, on its own host, with nothing of Suture in between. */
  async direct(program: string, args: readonly string[]): Promise<string> {
    const reach = ['-h', addressOf(this.host, 4), '-p', String(POSTGRES_PORT), '-U', 'test'];
    return this.rig.tool(this.host, [join(this.bin, program), ...reach, ...args]);
  }

  /** What a query gives, without any decoration. */
  async ask(query: string): Promise<string> {
    return (await this.direct('psql', ['-qAt', '-c', query, DATABASE])).trim();
  }
}
