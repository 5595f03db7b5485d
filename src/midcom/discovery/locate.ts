/** Discovery for a session: the control endpoint, or SUT_NOT_AVAILABLE with the reason. */
import { SutureError } from '../../platform/errors.js';
import type { Endpoint } from '../../wire/endpoint.js';
import { type DiscoverOptions, discover } from './client.js';

export async function discoverSwitch(options: DiscoverOptions): Promise<Endpoint> {
  const result = await discover(options);
  if (!result.available) throw new SutureError('SUT_NOT_AVAILABLE', result.message);
  options.log.info({ switch: result.switch, interface: result.interface }, 'switch discovered');
  return result.control;
}
