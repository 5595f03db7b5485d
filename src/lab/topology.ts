/**
 * How the hosts are made: namespaces, links, addresses, routes and the kernel's settings, as the `ip` tool and `/proc/sys`
 * take them. Nothing here removes anything; a half-made lab is up to the caller.
 */
import { cpus } from 'node:os';
import { inNamespace, runTool, tryTool } from './command.js';
import {
  HOST_INTERFACE,
  LAB_HOSTS,
  LAB_LEGS,
  type LabMember,
  namespaceOf,
  PREFIX_LENGTH_4,
  PREFIX_LENGTH_6,
  STANDBY,
  WIRE,
} from './layout.js';

export interface Shape {
  readonly bridged: boolean;
  readonly standby: boolean;
}

export async function makeHosts(prefix: string, shape: Shape): Promise<void> {
  const { bridged, standby } = shape;
  const hosts: readonly LabMember[] = standby ? [...LAB_HOSTS, STANDBY] : LAB_HOSTS;
  const spaces = [...hosts, ...(bridged ? [WIRE] : [])].map((host) => namespaceOf(prefix, host as LabMember));
  await runTool(
    'making namespaces',
    ['ip', '-batch', '-'],
    `${spaces.map((n) => `netns add ${n}`).join('\n')}\n`,
  );
  await Promise.all(
    hosts.map((host) =>
      runTool('network settings', inNamespace(namespaceOf(prefix, host), ['sh', '-c', settings(host)])),
    ),
  );
  await runTool('making links', ['ip', '-batch', '-'], `${linkLines(prefix, shape).join('\n')}\n`);
  await Promise.all(
    hosts.map((host) =>
      runTool(
        'addresses and routes',
        ['ip', '-n', namespaceOf(prefix, host), '-batch', '-'],
        `${hostLines(host, standby).join('\n')}\n`,
      ),
    ),
  );
  if (bridged) {
    await runTool(
      'making bridges',
      ['ip', '-n', namespaceOf(prefix, WIRE), '-batch', '-'],
      `${bridgeLines(standby).join('\n')}\n`,
    );
  }
  await Promise.all(spaces.map((space) => steerReceive(space)));
}

function isSwitch(host: LabMember): host is 's' | typeof STANDBY {
  return host === 's' || host === STANDBY;
}

/** Settings of a namespace's own network; interfaces made later inherit `default`. */
function settings(host: LabMember): string {
  const all = [
    // Duplicate address detection would keep each IPv6 address unusable for a second or two.
    'net/ipv6/conf/default/accept_dad=0',
    'net/ipv6/conf/all/accept_dad=0',
    'net/ipv6/conf/default/disable_ipv6=0',
    'net/ipv6/conf/all/disable_ipv6=0',
    'net/ipv6/conf/default/accept_ra=0',
  ];
  if (isSwitch(host)) {
    all.push('net/ipv4/ip_forward=1', 'net/ipv6/conf/all/forwarding=1');
    // A link that was down for a while has its addresses again afterwards.
    all.push('net/ipv6/conf/default/keep_addr_on_down=1', 'net/ipv6/conf/all/keep_addr_on_down=1');
  }
  return all.map((line) => line.replace(/^(.*)=(.*)$/, 'echo $2 > /proc/sys/$1')).join(' && ');
}

/** `ip -batch` lines that make the two ends of each leg. */
function linkLines(prefix: string, { bridged, standby }: Shape): string[] {
  const s = namespaceOf(prefix, 's');
  const s2 = namespaceOf(prefix, STANDBY);
  const w = namespaceOf(prefix, WIRE);
  return LAB_LEGS.flatMap(({ host, switchInterface }) => {
    const h = namespaceOf(prefix, host);
    if (!bridged) {
      return [`link add ${switchInterface} netns ${s} type veth peer name ${HOST_INTERFACE} netns ${h}`];
    }
    return [
      `link add ${switchInterface} netns ${s} type veth peer name s-${host} netns ${w}`,
      `link add ${HOST_INTERFACE} netns ${h} type veth peer name h-${host} netns ${w}`,
      ...(standby
        ? [`link add ${switchInterface} netns ${s2} type veth peer name t-${host} netns ${w}`]
        : []),
    ];
  });
}

function bridgeLines(standby: boolean): string[] {
  return LAB_LEGS.flatMap(({ host }) => [
    `link add br-${host} type bridge stp_state 0 forward_delay 0`,
    ...(standby ? ['s', 't', 'h'] : ['s', 'h']).flatMap((side) => [
      `link set ${side}-${host} master br-${host}`,
      `link set ${side}-${host} up`,
    ]),
    `link set br-${host} up`,
  ]);
}

function hostLines(host: LabMember, standby: boolean): string[] {
  const lines = ['link set lo up'];
  for (const leg of LAB_LEGS) {
    if (isSwitch(host)) {
      // First, so that taking the shared address away leaves it.
      const [own4, own6] = leg.ownAddresses[host];
      if (standby) {
        lines.push(`addr add ${own4}/${PREFIX_LENGTH_4} dev ${leg.switchInterface}`);
        lines.push(`addr add ${own6}/${PREFIX_LENGTH_6} dev ${leg.switchInterface}`);
      }
      if (host === STANDBY) {
        lines.push(`link set ${leg.switchInterface} up`);
        continue;
      }
      lines.push(
        `addr add ${leg.switchAddress4}/${PREFIX_LENGTH_4} dev ${leg.switchInterface}`,
        `addr add ${leg.switchAddress6}/${PREFIX_LENGTH_6} dev ${leg.switchInterface}`,
        `link set ${leg.switchInterface} up`,
      );
    } else if (leg.host === host) {
      lines.push(
        `addr add ${leg.address4}/${PREFIX_LENGTH_4} dev ${HOST_INTERFACE}`,
        `addr add ${leg.address6}/${PREFIX_LENGTH_6} dev ${HOST_INTERFACE}`,
        `link set ${HOST_INTERFACE} up`,
        `route add default via ${leg.switchAddress4}`,
        `route add ::/0 via ${leg.switchAddress6}`,
      );
    }
  }
  return lines;
}

/** A mask of all processors as sysfs writes it: hexadecimal words of 32 bits, commas between. */
export function cpuMask(count: number): string {
  const hex = ((1n << BigInt(count)) - 1n).toString(16);
  const padded = hex.padStart(Math.ceil(hex.length / 8) * 8, '0');
  return (padded.match(/.{8}/g) ?? []).join(',').replace(/^0+(?=.)/, '');
}

/**
 * Says which processors work for packets that a host receives: receive packet steering. Without it, forwarding over
 * veth reorders packets between processors all by itself. Best effort: a container may have sysfs read-only.
 * `ip netns exec` is what shows a namespace its sysfs.
 */
export async function steerReceive(namespace: string, mask = cpuMask(cpus().length)): Promise<void> {
  const script = `for f in /sys/class/net/*/queues/rx-*/rps_cpus; do case $f in */lo/*) ;; *) echo ${mask} > $f;; esac; done`;
  await tryTool(['ip', 'netns', 'exec', namespace, 'sh', '-c', `{ ${script}; } 2>/dev/null; true`]);
}
