/**
 * `lab up`, `down`, `status` and `exec`: the four hosts as network namespaces on one machine; how they are made is in
 * `topology.ts`.
 *
 * `up` makes hosts only and starts no program; run again, it takes down what is there, whole or half made,
 * and makes it anew. `down` removes namespaces and interfaces and kills nothing: programs inside belong to
 * whoever started them, and find themselves without a network.
 */
import { spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { removePinsOf } from '../dataplane/kernel/program.js';
import { SutureError } from '../platform/errors.js';
import { inNamespace, runTool, tryTool } from './command.js';
import {
  isLabHost,
  LAB_HOSTS,
  LAB_LEGS,
  type LabHost,
  type LabMember,
  labPrefix,
  namespaceOf,
  STANDBY,
  WIRE,
} from './layout.js';
import { makeHosts } from './topology.js';

export interface LabOptions {
  /** Prefix of the namespaces; default: SUTURE_LAB of the environment, or `suture`. */
  readonly prefix?: string;
}

export interface LabUpOptions extends LabOptions {
  /**
   * A second switch, `PREFIX-s2`, on the same links, which are bridged for it. Each switch then has addresses of its
   * own, and `.1` is the first one's until a switch moves it.
   */
  readonly standby?: boolean;
  /**
   * Puts a bridge into the middle of each leg, in a namespace `PREFIX-w`, with ports `s-HOST` and `h-HOST`:
   * a place to lose packets between two hosts. Rules on the hosts' own interfaces come too late for that,
   * since a capture sees a packet before they do.
   */
  readonly bridged?: boolean;
}

export interface LabHostStatus {
  readonly host: LabHost;
  readonly namespace: string;
  readonly up: boolean;
  readonly addresses: readonly string[];
  readonly processes: readonly number[];
}

export interface LabStatus {
  readonly prefix: string;
  /** All hosts are there with all their addresses. */
  readonly up: boolean;
  readonly hosts: readonly LabHostStatus[];
}

function namespacesOf(prefix: string): string[] {
  const all: readonly (LabMember | typeof WIRE)[] = [...LAB_HOSTS, STANDBY, WIRE];
  return all.map((host) => namespaceOf(prefix, host));
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new SutureError(
    'SUT_PERMISSION',
    'the lab makes network namespaces, which only root may do; run it as root',
  );
}

function exists(namespace: string): boolean {
  return existsSync(`/run/netns/${namespace}`);
}

export async function labUp(options: LabUpOptions = {}): Promise<void> {
  const prefix = labPrefix(options.prefix);
  requireRoot();
  await labDown({ prefix });
  try {
    const standby = options.standby ?? false;
    await makeHosts(prefix, { bridged: standby || (options.bridged ?? false), standby });
  } catch (error) {
    await labDown({ prefix });
    throw error;
  }
}

/** Removes what is there; resolves to whether there was anything. */
export async function labDown(options: LabOptions = {}): Promise<boolean> {
  const prefix = labPrefix(options.prefix);
  const present = namespacesOf(prefix).filter(exists);
  if (present.length === 0) return false;
  requireRoot();
  // A namespace lives on, unnamed, while a program runs in it; its interfaces must not.
  await Promise.all(present.map(removeLinks));
  for (const namespace of present) {
    // What a switch that was killed left pinned would outlive its interfaces.
    removePinsOf(statSync(`/run/netns/${namespace}`).ino);
    await runTool('removing a namespace', ['ip', 'netns', 'del', namespace]);
  }
  return true;
}

async function removeLinks(namespace: string): Promise<void> {
  const shown = await tryTool(['ip', '-n', namespace, '-json', 'link', 'show']);
  const links = JSON.parse(shown || '[]') as { ifname: string }[];
  const lines = links.filter(({ ifname }) => ifname !== 'lo').map(({ ifname }) => `link del ${ifname}`);
  // A peer may be deleted from its other end at the same time: -force goes on past what is gone.
  if (lines.length > 0)
    await tryTool(['ip', '-n', namespace, '-force', '-batch', '-'], `${lines.join('\n')}\n`);
}

export async function labStatus(options: LabOptions = {}): Promise<LabStatus> {
  const prefix = labPrefix(options.prefix);
  const hosts = await Promise.all(LAB_HOSTS.map((host) => hostStatus(prefix, host)));
  return { prefix, up: hosts.every((host) => host.up), hosts };
}

async function hostStatus(prefix: string, host: LabHost): Promise<LabHostStatus> {
  const namespace = namespaceOf(prefix, host);
  if (!exists(namespace)) return { host, namespace, up: false, addresses: [], processes: [] };
  // One after the other: the first tool must not count the second among the programs inside.
  const pids = await tryTool(['ip', 'netns', 'pids', namespace]);
  const links = await tryTool(['ip', '-n', namespace, '-json', 'addr', 'show']);
  type Link = { addr_info?: { local: string; scope: string }[]; ifname: string };
  const found = JSON.parse(links || '[]') as Link[];
  const addresses = found
    .flatMap((link) => link.addr_info ?? [])
    .filter((info) => info.scope === 'global')
    .map((info) => info.local);
  const expected = LAB_LEGS.flatMap((leg) => {
    if (host === 's') return [leg.switchAddress4, leg.switchAddress6];
    return leg.host === host ? [leg.address4, leg.address6] : [];
  });
  return {
    host,
    namespace,
    up: expected.every((address) => addresses.includes(address)),
    addresses,
    processes: (pids ?? '').split('\n').filter(Boolean).map(Number),
  };
}

/** Runs a program in a host with this process's terminal; resolves to its exit code (128 + n for a signal). */
export async function labExec(
  host: string,
  argv: readonly string[],
  options: LabOptions = {},
): Promise<number> {
  const prefix = labPrefix(options.prefix);
  if (!isLabHost(host)) {
    throw new SutureError(
      'SUT_USAGE',
      `'${host}' is no host of the lab; expected one of ${LAB_HOSTS.join(', ')}`,
    );
  }
  if (argv.length === 0) {
    throw new SutureError('SUT_USAGE', `nothing to run; expected: suture lab exec ${host} -- COMMAND…`);
  }
  const namespace = namespaceOf(prefix, host);
  if (!exists(namespace)) {
    throw new SutureError(
      'SUT_LAB',
      `the lab is not up: there is no namespace ${namespace}; run 'suture lab up' first`,
    );
  }
  requireRoot();
  const [program = '', ...args] = inNamespace(namespace, argv);
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit' });
    const forward = (signal: NodeJS.Signals): void => {
      child.kill(signal);
    };
    // A terminal sends Ctrl-C to the program by itself; here it must only not end this process first.
    const stay = (): void => undefined;
    process.on('SIGINT', stay).on('SIGTERM', forward).on('SIGHUP', forward);
    child.on('error', (error) =>
      reject(new SutureError('SUT_LAB', `cannot run ${program}: ${error.message}`, { cause: error })),
    );
    child.on('close', (code, signal) => {
      process.off('SIGINT', stay).off('SIGTERM', forward).off('SIGHUP', forward);
      resolve(code ?? 128 + (signal === null ? 0 : osConstants.signals[signal]));
    });
  });
}
