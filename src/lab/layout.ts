/**
 * The lab's fixed shape: four hosts, the switch in the middle, every other host on a leg of its own.
 *
 * Names and addresses are a contract that people, tests and documents rely on. Only the prefix of the
 * namespaces varies, so that several labs can stand side by side.
 */
import { SutureError } from '../platform/errors.js';

/** Peer, switch, shell, core. */
export const LAB_HOSTS = ['e', 's', 'a', 'b'] as const;
export type LabHost = (typeof LAB_HOSTS)[number];

/** The second switch, where there is one (`lab up --standby`). */
export const STANDBY = 's2';
export type LabMember = LabHost | typeof STANDBY;

export interface LabLeg {
  /** The host at the far end of the leg; its interface is `eth0`. */
  readonly host: Exclude<LabHost, 's'>;
  /** The switch's interface. */
  readonly switchInterface: string;
  readonly switchAddress4: string;
  readonly switchAddress6: string;
  /** Where there are two switches: their own addresses. The one above is then the active one's. */
  readonly ownAddresses: Readonly<Record<'s' | typeof STANDBY, readonly [string, string]>>;
  readonly address4: string;
  readonly address6: string;
}

export const HOST_INTERFACE = 'eth0';
export const PREFIX_LENGTH_4 = 24;
export const PREFIX_LENGTH_6 = 64;

function leg(host: LabLeg['host'], net: number): LabLeg {
  return {
    host,
    switchInterface: `to-${host}`,
    switchAddress4: `10.201.${net}.1`,
    switchAddress6: `fd00:201:${net}::1`,
    ownAddresses: {
      s: [`10.201.${net}.251`, `fd00:201:${net}::251`],
      s2: [`10.201.${net}.252`, `fd00:201:${net}::252`],
    },
    address4: `10.201.${net}.2`,
    address6: `fd00:201:${net}::2`,
  };
}

export const LAB_LEGS: readonly LabLeg[] = [leg('e', 1), leg('a', 2), leg('b', 3)];

const DEFAULT_LAB_PREFIX = 'suture';
/** Overrides the prefix for a shell session: `SUTURE_LAB=mine suture lab up`. */
const LAB_PREFIX_VARIABLE = 'SUTURE_LAB';

/** The given prefix, or the environment's, or the default; refuses what could not be part of a file name. */
export function labPrefix(given?: string): string {
  const prefix = given ?? process.env[LAB_PREFIX_VARIABLE] ?? DEFAULT_LAB_PREFIX;
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(prefix)) {
    throw new SutureError(
      'SUT_USAGE',
      `lab prefix '${prefix}' cannot be used; expected a lower-case letter, then up to 31 letters, digits or '-'`,
    );
  }
  return prefix;
}

/**
 * A fifth namespace: in a bridged lab the wires between the hosts, elsewhere free for tests that need one
 * more host. `lab down` removes it with the others.
 */
export const WIRE = 'w';

export function namespaceOf(prefix: string, host: LabMember | typeof WIRE): string {
  return `${prefix}-${host}`;
}

export function isLabHost(text: string): text is LabMember {
  return text === STANDBY || (LAB_HOSTS as readonly string[]).includes(text);
}

export function legOf(host: LabLeg['host']): LabLeg {
  const found = LAB_LEGS.find((candidate) => candidate.host === host);
  if (!found) throw new SutureError('SUT_USAGE', `host '${host}' has no leg; expected e, a or b`);
  return found;
}
