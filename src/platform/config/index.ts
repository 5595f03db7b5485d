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
  DISCOVERY_PORT,
  type RouteConfig,
  type ShellConfig,
  type StitchConditions,
  type StitchPolicy,
  type SwitchConfig,
} from './schema.js';
export { type HostPort, isName, Mismatch, NAME_FORM } from './values.js';
