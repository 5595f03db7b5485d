/** Configs: one schema a role, checked at start. */
export {
  type Configs,
  type LoadOptions,
  loadConfig,
  parseConfig,
  printConfig,
  type Role,
} from './load.js';
export { hideCredentials } from './problems.js';
export {
  formatRedisUrl,
  parseRedisUrl,
  REDIS_URL_FORM,
  type RedisTarget,
  redisName,
} from './redis-url.js';
export type { DestinationRule } from './routes.js';
export {
  CONTROL_PORT,
  type CoreConfig,
  type CoreLinkConfig,
  type CoreMove,
  DISCOVERY_PORT,
  LINK_PORT,
  type RouteConfig,
  type ShellConfig,
  type StitchConditions,
  type StitchPolicy,
  type SwitchConfig,
} from './schema.js';
export { type HostPort, isName, type LinkAuth, Mismatch, NAME_FORM } from './values.js';
