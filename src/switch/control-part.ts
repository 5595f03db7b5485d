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
import { RedisTable } from '../table/redis/table.js';
import { formatEndpoint } from '../wire/endpoint.js';
import { Admin } from './admin.js';
import { AdminServer } from './admin-server.js';
import { forAgents } from './adopt.js';
import { Carrying } from './carrying.js';
import { Control } from './control.js';
import { CAPABILITIES, DiscoveryService } from './discovery.js';
import type { CapturedDatagram } from './discovery-capture.js';
import { giveUpClamped } from './drain.js';
import { tableFor } from './table.js';

export interface ControlPartOptions {
  readonly config: SwitchConfig;
  readonly plane: DataPlane;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told each time that it becomes the active switch of its group, or not. */
  readonly onRole?: (role: Role) => void;
}

/** `deposed`: another switch of the group has taken the place of this one, which must begin anew. */
export type Role = 'active' | 'standby' | 'deposed';

export class ControlPart {
  /** What runs in any role, and what runs in the active switch only. */
  private readonly base: Lifecycle;
  private readonly active: Lifecycle;
  private readonly control: Control;
  private readonly shared: RedisTable | undefined;
  private readonly carrying: Carrying | undefined;
  private isActive = false;
  /** Of a standby: it becomes the active one. */
  private taking: Promise<void> = Promise.resolve();
  private isStopping = false;
  private readonly discovery: DiscoveryService;
  private readonly log: Logger;

  constructor(private readonly options: ControlPartOptions) {
    const { config, plane, clock, log } = options;
    this.log = log;
    const table = tableFor(config, clock, log);
    const agentOf = (address: string): string | undefined =>
      config.agents.find(({ role, addresses }) => role === 'shell' && addresses.includes(address))?.name;
    const { drainLimit } = config.timers;
    this.shared = config.standby && table instanceof RedisTable ? table : undefined;
    const isCore = (address: string): boolean =>
      config.agents.some(({ role, addresses }) => role === 'core' && addresses.includes(address));
    const control = new Control({ plane, table, clock, log, drainLimit, agentOf, isCore });
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
    const { discovery, shared } = this;
    const group = shared && {
      isActive: () => shared.isLeader && this.isActive,
      promote: () => this.promote(shared),
    };
    const admin = new Admin({ config, plane, table, control, server, discovery, clock, group });
    const adminServer = new AdminServer({ path: config.admin, backend: admin, log });
    this.control = control;
    if (shared) shared.onFollowed = (changed, gone) => control.readiness.followed(changed, gone);
    if (shared && config.scaleOut)
      this.carrying = new Carrying({ config, plane, table: shared, control, log });
    // A standby can be asked and promoted; otherwise who finds the socket finds all of the switch.
    this.base = new Lifecycle(shared ? [[plane, table], adminServer] : [[plane, table]]);
    this.active = new Lifecycle([
      { start: () => this.takeOver(control, server, plane), stop: async () => {} },
      { start: async () => void (await server.start()), stop: () => server.stop() },
      ...(shared ? [] : [adminServer]),
      control,
      this.discovery,
    ]);
    log.info({ control: formatEndpoint(config.control.listen), admin: config.admin }, 'switch');
  }

  async start(): Promise<void> {
    const { shared } = this;
    try {
      await this.base.start();
      void shared?.deposed.then(() => this.become('deposed'));
      if (shared && !shared.isLeader) {
        await this.control.follow();
        this.become('standby');
        void shared.leading.then(() => {
          this.taking = this.active.start();
          this.taking.catch((err: unknown) => this.fail(err));
        });
      } else {
        await this.active.start();
      }
    } catch (error) {
      await this.base.stop().catch(() => {});
      throw error;
    }
  }

  /** `leave`: another switch goes on with the flows. Gives whether it does. */
  async stop(signal?: AbortSignal, leave = false): Promise<boolean> {
    this.isStopping = true;
    if (leave) await this.leave();
    // A standby may be about to take over, and must not go on with it afterwards: a server that nobody stops any more
    // keeps its thread, and with it what waits for the thread's end.
    await this.active.stop(signal);
    await this.taking.catch(() => {});
    const wasLeader = this.shared?.isLeader === true;
    await this.base.stop(signal);
    return leave && (!wasLeader || (await this.shared?.hasSuccessor()) === true);
  }

  private async leave(): Promise<void> {
    if (this.isActive && this.shared?.isLeader) await giveUpClamped(this.options.plane);
    this.control.leave();
  }

  /** Resolves once it has taken over all that the active switch had. */
  private async promote(shared: RedisTable): Promise<void> {
    if (!shared.isLeader) shared.promote();
    await shared.leading;
    await this.taking;
  }

  private become(role: Role): void {
    this.isActive ||= role === 'active';
    this.options.onRole?.(role);
  }

  private fail(err: unknown): void {
    if (this.isStopping) return;
    this.log.error({ err }, 'this switch could not take over');
    this.become('deposed');
  }

  /** Nothing is carried and no agent is served before what was there is known. */
  private async takeOver(control: Control, server: ControlServer, plane: DataPlane): Promise<void> {
    await control.adopt(async (open) => {
      const strange = await server.adopt(open.map(forAgents));
      if (strange.length > 0)
        this.log.warn({ flows: strange.length }, 'flows whose agents are not in the config');
    });
    // Only now: until its flows are known, what comes for them is better off with nobody.
    await this.carrying?.lead();
    await plane.forward();
    this.become('active');
  }

  /** A discovery datagram that came in. */
  discovered(datagram: CapturedDatagram): void {
    if (this.isActive) this.discovery.receive(datagram);
  }
}
