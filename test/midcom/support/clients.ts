/** Agents' clients with a real control service, of which the shell's goes through a connection that can be cut. */
import type { FlowEvent } from '../../../src/dataplane/port.js';
import { ControlClient, type SwitchClientOptions } from '../../../src/midcom/client.js';
import type { Reservation } from '../../../src/midcom/port.js';
import { systemClock } from '../../../src/platform/clock.js';
import { silentLog } from '../../../src/platform/log.js';
import type { Endpoint } from '../../../src/wire/endpoint.js';
import { connection, endpoint } from './raw-agent.js';
import { CutProxy, INNER, OFFERS, OUTER, Rig } from './rig.js';

const SHELL: Reservation = {
  watch: [
    { address: '10.201.2.2', from: 8080, to: 8080 },
    { address: '10.201.2.2', from: 20_000, to: 29_999 },
  ],
  offers: [],
};
const CORE: Reservation = { watch: [], offers: OFFERS.map(endpoint) };
export const OFFSETS = { consumedFromPeer: 1, injectedToCore: 2, consumedFromCore: 3, injectedToPeer: 4 };
export const outer = connection(OUTER);
export const inner = connection(INNER);

type Tap = { teardown(work: () => unknown): void };

class TestClient extends ControlClient {
  readonly events: FlowEvent[] = [];
  readonly changes: string[] = [];
}

export function client(t: Tap, place: Endpoint, more: Partial<SwitchClientOptions> = {}): TestClient {
  const made = new TestClient({
    name: 'a1',
    role: 'shell',
    switch: place,
    reservation: SHELL,
    clock: systemClock,
    log: silentLog(),
    backoff: { firstMs: 10, mostMs: 50 },
    ...more,
  });
  made.onEvent((event) => made.events.push(event));
  made.onSession((change) => made.changes.push(change));
  t.teardown(() => made.stop());
  return made;
}

export async function clientScene(t: Tap, more: Partial<SwitchClientOptions> = {}, rigOptions = {}) {
  const rig = await Rig.started(rigOptions);
  const proxy = await new CutProxy(rig.control).start();
  const core = client(t, rig.control, { name: 'b1', role: 'core', reservation: CORE });
  const shell = client(t, proxy.endpoint, more);
  t.teardown(async () => {
    proxy.stop();
    await rig.stop();
  });
  await Promise.all([core.start(), shell.start()]);
  await Promise.all([core.whenReady(), shell.whenReady()]);
  return { rig, proxy, core, shell };
}
