/**
 * The names of the interfaces that a config gives by name or by a prefix. Where something else names them, a container
 * engine or a machine with several cards, the addresses are what the config can know.
 */
import { inPrefix } from '../midcom/discovery/prefix.js';
import type { SwitchConfig } from '../platform/config/index.js';
import { SutureError } from '../platform/errors.js';

/** As `networkInterfaces()` of node:os gives them: those that are up, with their addresses. */
export type HostInterfaces = Readonly<
  Record<string, readonly { readonly address: string; readonly internal: boolean }[] | undefined>
>;

/** The config with names in place of prefixes, those of its virtual addresses too. */
export function withNames(config: SwitchConfig, host: HostInterfaces): SwitchConfig {
  const virtualAddresses = config.virtualAddresses.map(({ interface: given, address }) => ({
    interface: nameOf(given, host),
    address,
  }));
  return { ...config, interfaces: namesOf(config.interfaces, host), virtualAddresses };
}

/** In the config's order, each once: one interface may have an address in several of the prefixes. */
export function namesOf(given: readonly string[], host: HostInterfaces): string[] {
  return [...new Set(given.map((one) => nameOf(one, host)))];
}

function nameOf(given: string, host: HostInterfaces): string {
  return given.includes('/') ? nameIn(given, host) : given;
}

/** The only interface with an address in `prefix`; of two it can't be told which one is meant. */
function nameIn(prefix: string, host: HostInterfaces): string {
  const [address = '', length] = prefix.split('/');
  const wanted = { address, length: Number(length) };
  const names = Object.entries(host)
    .filter(([, owned]) => owned?.some((one) => !one.internal && inPrefix(one.address, wanted)))
    .map(([name]) => name);
  const [name] = names;
  if (name !== undefined && names.length === 1) return name;
  const found = names.length === 0 ? 'no interface that is up has' : `${names.join(' and ')} have`;
  throw new SutureError(
    'SUT_INTERFACE_UNKNOWN',
    `${found} an address in ${prefix}; give under \`interfaces\` a prefix of one interface, or its name`,
  );
}
