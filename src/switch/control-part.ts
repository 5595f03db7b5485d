/**
 * All of a switch but its packets: flow table, control service, discovery's answers and admin socket, put
 * together and started and stopped in order.
 */
import type { DataPlane } from '../dataplane/port.js';
import { ControlServer } from '../midcom/server.js';
import type { Clock } from '../platform/clock.js';
import type { SwitchConfig } from '../platform/config/index.js';
import { Lifecycle } from '../platform/lifecycle.js';
import type { Logger } from '../platform/log.js';
import { formatEndpoint } from '../wire/endpoint.js';
import { Admin } from './admin.js';
import { AdminServer } from './admin-server.js';
import { Control } from './control.js';
import { CAPABILITIES, DiscoveryService } from './discovery.js';
import type { CapturedDatagram } from './discovery-capture.js';
import { tableFor } from './table.js';

export interface ControlPartOptions {
  readonly config: SwitchConfig;
  readonly plane: DataPlane;
  readonly clock: Clock;
  readonly log: Logger;
}

export class ControlPart {
  private readonly lifecycle: Lifecycle;
  private readonly discovery: DiscoveryService;

  constructor({ config, plane, clock, log }: ControlPartOptions) {
    const table = tableFor(config, clock, log);
    const agentOf = (address: string): string | undefined =>
      config.agents.find(({ role, addresses }) => role === 'shell' && addresses.includes(address))?.name;
    const { drainLimit } = config.timers;
    const control = new Control({ plane, table, clock, log, drainLimit, agentOf });
    const server = new ControlServer({
      name: config.name,
      listen: config.control.listen,
      auth: config.auth,
      agents: config.agents,
      backend: control,
      capabilities: CAPABILITIES,
      clock,
      log,
      limits: {
        agents: config.limits.agents,
        flowsPerAgent: config.limits.flowsPerAgent,
        requestsPerSecond: config.limits.requestsPerSecond,
        messageBytes: config.limits.messageSize,
        teardownMs: config.timers.teardownLimit,
      },
    });
    this.discovery = new DiscoveryService({ config, clock, log, epoch: () => control.epoch() });
    const admin = new Admin({ config, plane, table, control, server, discovery: this.discovery, clock });
    const adminServer = new AdminServer({ path: config.admin, backend: admin, log });
    this.lifecycle = new Lifecycle([
      plane,
      table,
      { start: () => control.adopt(), stop: async () => {} },
      { start: async () => void (await server.start()), stop: () => server.stop() },
      adminServer,
      control,
      this.discovery,
    ]);
    log.info({ control: formatEndpoint(config.control.listen), admin: config.admin }, 'switch');
  }

  start(): Promise<void> {
    return this.lifecycle.start();
  }

  stop(signal?: AbortSignal): Promise<void> {
    return this.lifecycle.stop(signal);
  }

  /** A discovery datagram that came in. */
  discovered(datagram: CapturedDatagram): void {
    this.discovery.receive(datagram);
  }
}
