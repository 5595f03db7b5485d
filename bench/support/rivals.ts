/**
 * Who is compared, all between the same E and the same server on the same kind of B:
 *
 *   cable    E to B by a cable of their own, without S: what the two ends can do by themselves, the most that any path can give
 *   routed   E to B, forwarded by a host S that does nothing else
 *   nat      the same with destination and source NAT on S (nftables), the addresses being rewritten both ways
 *   haproxy  relayed on A by HAProxy, TCP mode, with splice(2)
 *   nginx    relayed on A by nginx's stream module
 *   beside   E to B directly, but through a switch that watches other connections
 *   relayed  relayed on A by the shell, never stitched
 *   stitched stitched as soon as it can be
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { legOf } from '#suture/lab/layout.js';
import type { Program } from '#suture/lab/program.js';
import { addressOf, endpointOf, route } from '#suture/lab/stage.js';
import { SutureError } from '#suture/platform/errors.js';
import type { Lab, Roles, SutureConfig } from './labs.js';
import { NGINX_STREAM_MODULE } from './tools.js';

export const RIVALS = [
  'cable',
  'routed',
  'nat',
  'haproxy',
  'nginx',
  'beside',
  'relayed',
  'stitched',
] as const;
export type RivalName = (typeof RIVALS)[number];

export interface Rival {
  readonly name: RivalName;
  readonly lab: Lab;
  readonly address: string;
  readonly port: number;
}

/** Outside of the kernel's ephemeral ports and of the shell's reserved ones. */
const HAPROXY_PORT = 7001;
const NGINX_PORT = 7002;
const RELAYED_PORT = 7003;
const STITCHED_PORT = 7004;
const CABLE = 'cable';
const START_MS = 10_000;

export interface RivalLabs {
  readonly cable: Lab;
  readonly plain: Lab;
  readonly nat: Lab;
  readonly suture: Lab;
}

export const RIVAL_LABS = { cable: {}, plain: {}, nat: {}, suture: {} } as const;

export interface Field {
  readonly rivals: readonly Rival[];
  readonly roles: Roles;
}

/** Starts everything but the servers, which listen on this port of B in each lab. */
export async function startRivals(
  labs: RivalLabs,
  corePort: number,
  config: Omit<SutureConfig, 'routes'> = {},
): Promise<Field> {
  const routes = [route(RELAYED_PORT, corePort, 'never'), route(STITCHED_PORT, corePort, 'now')];
  const [roles] = await Promise.all([
    labs.suture.startSuture({ ...config, routes }),
    startCable(labs.cable),
    startNat(labs.nat, corePort),
    startHaproxy(labs.plain, corePort),
    startNginx(labs.plain, corePort),
  ]);
  const [shell, core] = [addressOf('a', 4), addressOf('b', 4)];
  const rival = (name: RivalName, lab: Lab, address: string, port: number): Rival => ({
    name,
    lab,
    address,
    port,
  });
  const rivals = [
    rival('cable', labs.cable, core, corePort),
    rival('routed', labs.plain, core, corePort),
    rival('nat', labs.nat, legOf('e').switchAddress4, corePort),
    rival('haproxy', labs.plain, shell, HAPROXY_PORT),
    rival('nginx', labs.plain, shell, NGINX_PORT),
    rival('beside', labs.suture, core, corePort),
    rival('relayed', labs.suture, shell, RELAYED_PORT),
    rival('stitched', labs.suture, shell, STITCHED_PORT),
  ];
  return { rivals, roles };
}

/** The two ends keep their addresses; only the way between them is another. */
async function startCable(lab: Lab): Promise<void> {
  const hosts = ['e', 'b'] as const;
  const link = [
    'ip',
    'link',
    'add',
    CABLE,
    'type',
    'veth',
    'peer',
    'name',
    CABLE,
    'netns',
    lab.namespace('b'),
  ];
  await lab.tool('e', link);
  for (const host of hosts) await lab.tool(host, ['ip', 'link', 'set', CABLE, 'up']);
  for (const [host, far] of [hosts, hosts.toReversed()] as const) {
    const [to, from] = [addressOf(far, 4), addressOf(host, 4)];
    await lab.tool(host, ['ip', 'route', 'add', `${to}/32`, 'dev', CABLE, 'src', from]);
  }
}

function natRules(corePort: number): string {
  const core = addressOf('b', 4);
  return `table ip bench {
  chain in {
    type nat hook prerouting priority dstnat
    ip daddr ${legOf('e').switchAddress4} tcp dport ${corePort} dnat to ${core}
  }
  chain out {
    type nat hook postrouting priority srcnat
    ip daddr ${core} tcp dport ${corePort} ct status dnat masquerade
  }
}
`;
}

async function startNat(lab: Lab, corePort: number): Promise<void> {
  await lab.tool('s', ['nft', '-f', '-'], natRules(corePort));
}

function haproxyConfig(corePort: number): string {
  return `global
  maxconn 4096
defaults
  mode tcp
  option splice-auto
  option splice-request
  option splice-response
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen bench
  bind ${endpointOf('a', HAPROXY_PORT)}
  server core ${endpointOf('b', corePort)}
`;
}

async function startHaproxy(lab: Lab, corePort: number): Promise<void> {
  const file = join(lab.folder, 'haproxy.cfg');
  writeFileSync(file, haproxyConfig(corePort));
  // -db: in the foreground, so that it ends with whoever started it.
  const program = lab.start('haproxy', 'a', ['haproxy', '-db', '-f', file]);
  await listens(lab, HAPROXY_PORT, program);
}

function nginxConfig(corePort: number, folder: string): string {
  const module = existsSync(NGINX_STREAM_MODULE) ? `load_module ${NGINX_STREAM_MODULE};\n` : '';
  return `${module}user root;
worker_processes auto;
daemon off;
pid ${join(folder, 'nginx.pid')};
error_log stderr warn;
events {
  worker_connections 4096;
}
stream {
  server {
    listen ${endpointOf('a', NGINX_PORT)};
    proxy_pass ${endpointOf('b', corePort)};
  }
}
`;
}

async function startNginx(lab: Lab, corePort: number): Promise<void> {
  const file = join(lab.folder, 'nginx.conf');
  writeFileSync(file, nginxConfig(corePort, lab.folder));
  const program = lab.start('nginx', 'a', ['nginx', '-p', lab.folder, '-e', 'stderr', '-c', file]);
  await listens(lab, NGINX_PORT, program);
}

async function listens(lab: Lab, port: number, program: Program): Promise<void> {
  const complaint = (): string => `${program.name} does not listen on port ${port} of A: ${program.output}`;
  const asked = async (): Promise<boolean> => {
    if (!program.running) throw new SutureError('SUT_BENCH', complaint());
    const shown = await lab.tool('a', ['ss', '-Hltn', `sport = :${port}`]);
    return shown.trim() !== '';
  };
  await lab.stage.until(asked, START_MS, complaint);
}
