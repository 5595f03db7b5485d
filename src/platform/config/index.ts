/** Configs: one schema a role, checked at start. */
export {
  type Configs,
  type LoadOptions,
  loadConfig,
  parseConfig,
  printConfig,
  type Role,
} from './load.js';
export {
  CONTROL_PORT,
  type CoreConfig,
  DISCOVERY_PORT,
  type RouteConfig,
  type ShellConfig,
  type StitchPolicy,
  type SwitchConfig,
} from './schema.js';
export type { HostPort } from './values.js';
